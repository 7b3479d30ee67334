//! As much of DER (ITU-T X.690) as it takes to write a private key down.

/// An `INTEGER` from the bytes of a number, the greatest first.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = bytes
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    // A first bit of 1 would make it negative, and no byte is no number.
    if content.first().is_none_or(|byte| *byte >= 0x80) {
        content.insert(0, 0);
    }
    tlv(0x02, &content)
}

/// An `OCTET STRING`.
pub(super) fn octet_string(content: &[u8]) -> Vec<u8> {
    tlv(0x04, content)
}

/// A `SEQUENCE` of values.
pub(super) fn sequence(values: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &values.concat())
}

/// A value of this tag.
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut written = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => written.push(length),
        Ok(_) | Err(_) => {
            let length: Vec<u8> = content
                .len()
                .to_be_bytes()
                .into_iter()
                .skip_while(|byte| *byte == 0)
                .collect();
            // At most the 8 bytes of a `usize`.
            written.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            written.extend(length);
        }
    }
    written.extend(content);
    written
}
