//! Clients that are slow, silent, deaf or many.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use triad_api::Limits;

use crate::common::*;

fn short() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(400),
        body_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(900),
        ..Limits::default()
    }
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.door.server.address).await.unwrap()
}

/// What comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut out = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut out)).await;
    // A reset is an end as well.
    let _ = reading.expect("the door closes the connection");
    String::from_utf8_lossy(&out).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_silent_clients_are_cut() {
    let world = World::with(short(), false).await;
    // Says nothing.
    let started = Instant::now();
    assert_eq!(rest(&mut connect(&world).await).await, "");
    assert!(started.elapsed() >= Duration::from_millis(300));
    // Begins a head and stops.
    let mut stream = connect(&world).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ").await.unwrap();
    rest(&mut stream).await;
    // A byte now and then does not help.
    let mut stream = connect(&world).await;
    let started = Instant::now();
    loop {
        if stream.write_all(b"G").await.is_err() || started.elapsed() > Duration::from_secs(4) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(3), "the drip is cut");
    // Begins a body and stops.
    let mut stream = connect(&world).await;
    let head = "POST /v1/statements HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nContent-Type: application/cose\r\n\r\nx";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body-timeout"), "{answer}");
    // Breaks off in the body.
    let mut stream = connect(&world).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.contains("incomplete-body"), "{answer}");
    // Keeps a connection open without using it.
    let mut stream = connect(&world).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    // Rubbish.
    let mut stream = connect(&world).await;
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    // A chunked body without end.
    let mut stream = connect(&world).await;
    let head = "POST /v1/statements HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/cose\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend([0; 0x10000]);
    chunk.extend(b"\r\n");
    for _ in 0..200 {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.contains("too-large"), "{answer}");
    assert_eq!(world.door.json("/healthz").await["status"], "ok");
    world.door.accept(reading(&world.device, 0, 21.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_cut() {
    let world = World::with(short(), false).await;
    let all: Vec<_> = (0..2000).map(|n| reading(&world.device, n, 21.0)).collect();
    assert_eq!(world.door.post("application/cbor-seq", concat(&all)).await.status(), 201);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(world.door.server.address).await.unwrap();
    let stream = triad_statement::stream_id(world.device.public().id(), "temperature");
    let request =
        format!("GET /v1/streams/{stream}/readings?limit=2000 HTTP/1.1\r\nHost: a\r\n\r\n").repeat(200);
    deaf.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = Instant::now();
    loop {
        // Its own connection is the other one.
        if world.door.metric("triad_http_connections").await <= 1.0 {
            break;
        }
        assert!(before.elapsed() < Duration::from_secs(15), "the deaf client is cut");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_connections_are_told_so() {
    let limits = Limits { max_connections: 4, header_timeout: Duration::from_secs(2), ..Limits::default() };
    let world = World::with(limits, false).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(connect(&world).await);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let response = world.door.get("/healthz").await;
    assert_eq!(response.headers()["connection"], "close");
    assert_problem(response, 503, "too-many-connections").await;
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.door.get("/healthz").await.status(), 200);
    assert!(world.door.metric("triad_http_connections_refused_total").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_share_a_bounded_memory() {
    let limits = Limits { body_memory_kib: 1, read_timeout: Duration::from_millis(200), ..Limits::default() };
    let world = World::with(limits, false).await;
    let mut slow = connect(&world).await;
    let head = "POST /v1/statements HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nContent-Type: application/cose\r\n\r\nx";
    slow.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_problem(world.door.post(COSE, reading(&world.device, 0, 21.0)).await, 503, "busy").await;
    drop(slow);
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.door.accept(reading(&world.device, 0, 21.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_are_served_at_once() {
    let world = World::with(Limits::default(), false).await;
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..16u32 {
        let (client, url, device) =
            (world.door.client.clone(), format!("{}/v1/statements", world.door.base), world.device.clone());
        tasks.spawn(async move {
            let mut leaves = Vec::new();
            for n in 0..20 {
                let statement = reading(&device, sender * 20 + n, 21.0);
                let response =
                    client.post(&url).header("content-type", COSE).body(statement).send().await.unwrap();
                assert_eq!(response.status(), 201);
                leaves.push(response.json::<serde_json::Value>().await.unwrap()["leaf"].as_u64().unwrap());
            }
            leaves
        });
    }
    let mut leaves: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
    leaves.sort_unstable();
    leaves.dedup();
    assert_eq!(leaves.len(), 320);
}
