//! What became of a transaction.

use alloy_consensus::{Eip658Value, Receipt as ConsensusReceipt};
use alloy_primitives::{Address, Bloom, BloomInput, Log};
use alloy_rlp::{BufMut, Decodable, Encodable, Header};

/// A transaction's receipt, with what JSON-RPC shows beside the part that the receipts root commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub tx_type: u8,
    pub success: bool,
    /// By this transaction and all before it in the block.
    pub cumulative_gas_used: u64,
    pub gas_used: u64,
    /// Wei per gas that the sender paid. A firing shows the block's base fee, which its registration paid.
    pub effective_gas_price: u128,
    /// The address of the contract that a creating transaction made, or would have made.
    pub contract_address: Option<Address>,
    pub logs: Vec<Log>,
    pub bloom: Bloom,
}

impl Receipt {
    /// The EIP-2718 encoding: what the receipts root commits to.
    pub fn encode_2718(&self, out: &mut dyn BufMut) {
        if self.tx_type != 0 {
            out.put_u8(self.tx_type);
        }
        let fields = ReceiptFields { receipt: self };
        fields.encode(out);
    }

    /// All of it, for storage: RLP([type, success, cumulative gas, gas, price, contract or empty, logs]). The bloom is
    /// computed again on reading.
    pub fn to_bytes(&self) -> Vec<u8> {
        let contract = self.contract_address.as_ref().map_or(&[][..], |a| a.as_slice());
        let payload_length = self.tx_type.length()
            + self.success.length()
            + self.cumulative_gas_used.length()
            + self.gas_used.length()
            + self.effective_gas_price.length()
            + contract.length()
            + self.logs.length();
        let mut out = Vec::with_capacity(payload_length + 4);
        Header { list: true, payload_length }.encode(&mut out);
        self.tx_type.encode(&mut out);
        self.success.encode(&mut out);
        self.cumulative_gas_used.encode(&mut out);
        self.gas_used.encode(&mut out);
        self.effective_gas_price.encode(&mut out);
        contract.encode(&mut out);
        self.logs.encode(&mut out);
        out
    }

    /// Reads what [`Receipt::to_bytes`] wrote.
    pub fn from_bytes(mut raw: &[u8]) -> Result<Receipt, alloy_rlp::Error> {
        let mut body = Header::decode_bytes(&mut raw, true)?;
        let buf = &mut body;
        let (tx_type, success) = (u8::decode(buf)?, bool::decode(buf)?);
        let (cumulative_gas_used, gas_used) = (u64::decode(buf)?, u64::decode(buf)?);
        let effective_gas_price = u128::decode(buf)?;
        let contract_address = match Header::decode_bytes(buf, false)? {
            [] => None,
            bytes => Some(Address::try_from(bytes).map_err(|_| alloy_rlp::Error::UnexpectedLength)?),
        };
        let logs = Vec::<Log>::decode(buf)?;
        if !buf.is_empty() || !raw.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        let bloom = logs_bloom(&logs);
        Ok(Receipt {
            tx_type,
            success,
            cumulative_gas_used,
            gas_used,
            effective_gas_price,
            contract_address,
            logs,
            bloom,
        })
    }
}

/// The four fields under the root, encoded without copying the logs.
struct ReceiptFields<'a> {
    receipt: &'a Receipt,
}

impl ReceiptFields<'_> {
    fn payload_length(&self) -> usize {
        self.receipt.success.length()
            + self.receipt.cumulative_gas_used.length()
            + self.receipt.bloom.length()
            + self.receipt.logs.length()
    }
}

impl Encodable for ReceiptFields<'_> {
    fn encode(&self, out: &mut dyn BufMut) {
        Header { list: true, payload_length: self.payload_length() }.encode(out);
        self.receipt.success.encode(out);
        self.receipt.cumulative_gas_used.encode(out);
        self.receipt.bloom.encode(out);
        self.receipt.logs.encode(out);
    }

    fn length(&self) -> usize {
        let payload_length = self.payload_length();
        payload_length + alloy_rlp::length_of_length(payload_length)
    }
}

pub(crate) fn logs_bloom(logs: &[Log]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in logs {
        bloom.accrue(BloomInput::Raw(log.address.as_slice()));
        for topic in log.topics() {
            bloom.accrue(BloomInput::Raw(topic.as_slice()));
        }
    }
    bloom
}

impl From<&Receipt> for ConsensusReceipt<Log> {
    fn from(receipt: &Receipt) -> Self {
        ConsensusReceipt {
            status: Eip658Value::Eip658(receipt.success),
            cumulative_gas_used: receipt.cumulative_gas_used,
            logs: receipt.logs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::RlpEncodableReceipt;
    use alloy_primitives::{B256, Bytes, address};

    fn receipt(tx_type: u8, logs: usize) -> Receipt {
        let logs: Vec<Log> = (0..logs)
            .map(|i| {
                Log::new_unchecked(
                    address!("0x00000000000000000000000000000000000000aa"),
                    vec![B256::with_last_byte(i as u8); i % 5],
                    Bytes::from(vec![7; i * 20]),
                )
            })
            .collect();
        Receipt {
            tx_type,
            success: tx_type != 1,
            cumulative_gas_used: 1_000_000,
            gas_used: 21_000,
            effective_gas_price: 7,
            contract_address: (tx_type == 2).then_some(Address::ZERO),
            bloom: logs_bloom(&logs),
            logs,
        }
    }

    #[test]
    fn encodes_as_ethereum_does() {
        for (tx_type, logs) in [(0, 0), (1, 1), (2, 7), (0x74, 3)] {
            let receipt = receipt(tx_type, logs);
            let reference = ConsensusReceipt::from(&receipt);
            assert_eq!(receipt.bloom, reference.bloom_slow());
            let mut expected = Vec::new();
            if tx_type != 0 {
                expected.push(tx_type);
            }
            reference.rlp_encode_with_bloom(&receipt.bloom, &mut expected);
            let mut out = Vec::new();
            receipt.encode_2718(&mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn stored_form_round_trips() {
        for (tx_type, logs) in [(0, 0), (1, 1), (2, 7), (0x74, 3)] {
            let receipt = receipt(tx_type, logs);
            let bytes = receipt.to_bytes();
            assert_eq!(Receipt::from_bytes(&bytes).unwrap(), receipt);
            assert!(Receipt::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        }
    }
}
