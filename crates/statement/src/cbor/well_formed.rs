use super::{Major, Reader};

/// Whether the bytes are exactly one well-formed item, however deep it is nested and however it is encoded.
pub(crate) fn is_well_formed(bytes: &[u8]) -> bool {
    // Each open level waits for this many more items; `None` waits for a break (with whether a map's value is due).
    let mut open: Vec<(Option<u64>, bool, bool)> = vec![(Some(1), false, false)];
    let mut reader = Reader::<false>::new(bytes, 0);
    while let Some((left, is_map, half)) = open.last_mut() {
        match left {
            Some(0) => {
                open.pop();
                continue;
            }
            Some(left) => *left -= 1,
            None if reader.peek() == Some(0xff) => {
                if *is_map && *half {
                    return false;
                }
                reader.at += 1;
                open.pop();
                continue;
            }
            None => *half = !*half,
        }
        let Ok(head) = reader.head() else { return false };
        let indefinite = head.info == 31;
        match head.major {
            Major::Unsigned | Major::Negative => {}
            Major::Bytes | Major::Text => {
                let fine = if indefinite {
                    reader.skip_chunks(head.major).is_ok()
                } else {
                    reader.definite(head, 0).is_ok_and(|length| {
                        reader.take(length).is_ok_and(|content| {
                            head.major == Major::Bytes || std::str::from_utf8(content).is_ok()
                        })
                    })
                };
                if !fine {
                    return false;
                }
            }
            Major::Array => open.push((if indefinite { None } else { Some(head.value) }, false, false)),
            Major::Map => {
                let left = if indefinite { None } else { Some(head.value.saturating_mul(2)) };
                open.push((left, true, false));
            }
            Major::Tag => open.push((Some(1), false, false)),
            Major::Simple if indefinite => return false,
            Major::Simple => {}
        }
    }
    reader.end().is_ok()
}
