use super::float::to_half;

/// Writes deterministic CBOR.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        match value {
            0..24 => self.0.push(major | value as u8),
            24..0x100 => self.0.extend([major | 24, value as u8]),
            0x100..0x1_0000 => {
                self.0.push(major | 25);
                self.0.extend((value as u16).to_be_bytes());
            }
            0x1_0000..0x1_0000_0000 => {
                self.0.push(major | 26);
                self.0.extend((value as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend(value.to_be_bytes());
            }
        }
        self
    }

    pub(crate) fn integer(&mut self, value: i64) -> &mut Self {
        if value < 0 { self.head(1, !value as u64) } else { self.head(0, value as u64) }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(2, bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.head(3, text.len() as u64);
        self.0.extend(text.as_bytes());
        self
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.0.push(if value { 0xf5 } else { 0xf4 });
        self
    }

    /// The shortest float of exactly this value.
    pub(crate) fn float(&mut self, value: f64) -> &mut Self {
        if let Some(bits) = to_half(value) {
            self.0.push(0xf9);
            self.0.extend(bits.to_be_bytes());
        } else if f64::from(value as f32) == value {
            self.0.push(0xfa);
            self.0.extend((value as f32).to_be_bytes());
        } else {
            self.0.push(0xfb);
            self.0.extend(value.to_be_bytes());
        }
        self
    }
}
