//! A lean MQTT 3.1.1 client: packets written by hand, a full window on each of a few connections.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fleet::Pool;
use super::load::{Plan, Run};
use crate::publisher::TOPIC;

/// Unacknowledged statements of a connection: as many as the door takes.
const WINDOW: u16 = 1024;
/// Packets are gathered up to this size before they are written.
const OUTPUT: usize = 64 << 10;
const CONNACK: u8 = 0x20;
const PUBACK: u8 = 0x40;

/// What the connections share.
struct Shared {
    pool: Arc<Pool>,
    plan: Plan,
    next: Cell<usize>,
    run: RefCell<Run>,
}

pub async fn run(
    address: SocketAddr,
    connections: usize,
    pool: Arc<Pool>,
    plan: Plan,
) -> anyhow::Result<Run> {
    let run = RefCell::new(Run::new(plan.from));
    let shared = Rc::new(Shared { pool, plan, next: Cell::new(plan.from), run });
    let mut streams = Vec::new();
    for n in 0..connections {
        streams.push(connect(address, n).await?);
    }
    shared.run.borrow_mut().first = Instant::now();
    let sessions = streams.into_iter().map(|stream| session(stream, shared.clone()));
    futures::future::try_join_all(sessions).await?;
    let shared = Rc::into_inner(shared).context("a connection is still open")?;
    let mut run = shared.run.into_inner();
    run.next = shared.next.get();
    Ok(run)
}

async fn connect(address: SocketAddr, n: usize) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let client = format!("bench-{n}");
    let mut out = BytesMut::new();
    out.put_u8(0x10);
    length(&mut out, 12 + client.len());
    out.put_slice(b"\x00\x04MQTT\x04\x02\x02\x58");
    out.put_u16(client.len() as u16);
    out.put_slice(client.as_bytes());
    stream.write_all(&out).await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    ensure!(answer[0] == CONNACK && answer[3] == 0, "the MQTT door refuses the connection: {answer:02x?}");
    Ok(stream)
}

async fn session(mut stream: TcpStream, shared: Rc<Shared>) -> anyhow::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let (mut input, mut output) = (BytesMut::with_capacity(OUTPUT), BytesMut::with_capacity(2 * OUTPUT));
    // By packet identifier, less one: what is in flight.
    let mut sent: Vec<Option<(usize, Instant)>> = vec![None; usize::from(WINDOW)];
    let mut free: Vec<u16> = (1..=WINDOW).rev().collect();
    let mut due = tokio::time::Instant::now();
    loop {
        let begin = shared.run.borrow().first;
        let over = shared.next.get() >= shared.pool.statements.len() || begin.elapsed() >= shared.plan.time;
        let mut paced = false;
        while !over && output.len() < OUTPUT && !paced {
            if shared.plan.pace.is_some() && tokio::time::Instant::now() < due {
                paced = true;
                continue;
            }
            let index = shared.next.get();
            if index >= shared.pool.statements.len() {
                break;
            }
            let Some(id) = free.pop() else { break };
            shared.next.set(index + 1);
            publish(&mut output, id, &shared.pool.statements[index]);
            sent[usize::from(id) - 1] = Some((index, Instant::now()));
            due += shared.plan.pace.unwrap_or_default();
        }
        let in_flight = usize::from(WINDOW) - free.len();
        if over && in_flight == 0 {
            // The door also takes a connection that just ends.
            let _ = writer.write_all(&[0xe0, 0]).await;
            return Ok(());
        }
        tokio::select! {
            read = reader.read_buf(&mut input) => {
                if read? == 0 {
                    bail!("the MQTT door closed the connection with {in_flight} statements in flight");
                }
                while input.len() >= 4 {
                    ensure!(input[0] == PUBACK && input[1] == 2, "an unexpected MQTT packet: {:02x}", input[0]);
                    input.advance(2);
                    let id = input.get_u16();
                    let slot = sent.get_mut(usize::from(id).wrapping_sub(1)).and_then(Option::take);
                    let (index, at) = slot.context("an acknowledgement of nothing")?;
                    shared.run.borrow_mut().acknowledge(index, at);
                    free.push(id);
                }
            }
            written = writer.write_buf(&mut output), if !output.is_empty() => { written?; }
            () = tokio::time::sleep_until(due), if paced => {}
        }
    }
}

fn publish(out: &mut BytesMut, id: u16, statement: &[u8]) {
    // QoS 1.
    out.put_u8(0x32);
    length(out, 2 + TOPIC.len() + 2 + statement.len());
    out.put_u16(TOPIC.len() as u16);
    out.put_slice(TOPIC.as_bytes());
    out.put_u16(id);
    out.put_slice(statement);
}

/// Seven bits a byte, the lowest first.
fn length(out: &mut BytesMut, mut rest: usize) {
    loop {
        let byte = (rest % 128) as u8;
        rest /= 128;
        out.put_u8(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            return;
        }
    }
}
