//! An MQTT client that speaks bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Client {
    stream: TcpStream,
    v5: bool,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

pub fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        packet.push(if length == 0 { byte } else { byte | 0x80 });
        if length == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

impl Client {
    pub async fn connect(address: SocketAddr, v5: bool) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client { stream, v5 };
        let mut body = text("MQTT");
        body.extend([if v5 { 5 } else { 4 }, 2, 0, 60]);
        if v5 {
            body.push(0);
        }
        body.extend(text("raw"));
        client.send(&packet(0x10, &body)).await;
        let (kind, body) = client.packet().await.unwrap();
        assert_eq!((kind, body[1]), (0x20, 0));
        client
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn publish(&mut self, id: u16, statement: &[u8]) {
        let mut body = text("triad/v1/statements");
        body.extend(id.to_be_bytes());
        if self.v5 {
            body.push(0);
        }
        body.extend(statement);
        self.send(&packet(0x32, &body)).await;
    }

    /// To the errors of all devices.
    pub async fn subscribe(&mut self) {
        let properties: &[u8] = if self.v5 { &[0] } else { &[] };
        let body = [&[0, 1][..], properties, &text("triad/v1/devices/+/errors"), &[0]].concat();
        self.send(&packet(0x82, &body)).await;
        assert_eq!(self.packet().await.unwrap().0, 0x90);
    }

    /// The next packet; `None` at the end of the stream.
    pub async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let reading = async {
            let kind = self.stream.read_u8().await.ok()?;
            let (mut length, mut shift) = (0usize, 0);
            loop {
                let byte = self.stream.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((kind, body))
        };
        tokio::time::timeout(Duration::from_secs(30), reading).await.expect("a packet or the end")
    }

    /// Identifier, reason code and reason string of the next PUBACK of MQTT 5.
    pub async fn puback(&mut self) -> (u16, u8, String) {
        let (kind, body) = self.packet().await.expect("a packet, not the end");
        assert_eq!(kind, 0x40, "{}", String::from_utf8_lossy(&body));
        let code = body.get(2).copied().unwrap_or(0);
        // Properties: length, then 0x1f and the reason.
        let reason = body.iter().position(|b| *b == 0x1f).filter(|_| code != 0);
        let reason =
            reason.map_or_else(String::new, |at| String::from_utf8_lossy(&body[at + 3..]).into_owned());
        (u16::from_be_bytes([body[0], body[1]]), code, reason)
    }
}
