//! Just enough DER (ITU-T X.690) to read and write a SubjectPublicKeyInfo.
//!
//! Always true: anything but definite, shortest-form lengths is refused, and nothing is read beyond the input.

pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OBJECT_IDENTIFIER: u8 = 0x06;
pub const PRINTABLE_STRING: u8 = 0x13;
pub const SEQUENCE: u8 = 0x30;

/// One element: its content, all its bytes, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Element<'a> {
    pub content: &'a [u8],
    pub encoded: &'a [u8],
    pub rest: &'a [u8],
}

/// Reads the element at the beginning of `input`, which must have this tag.
pub fn read(input: &[u8], tag: u8) -> Option<Element<'_>> {
    let (&found, after_tag) = input.split_first()?;
    if found != tag {
        return None;
    }
    let (length, after_length) = read_length(after_tag)?;
    let content = after_length.get(..length)?;
    let rest = &after_length[length..];
    Some(Element { content, encoded: &input[..input.len() - rest.len()], rest })
}

/// Reads an element that has to be all of `input`.
pub fn read_only(input: &[u8], tag: u8) -> Option<&[u8]> {
    read(input, tag).filter(|element| element.rest.is_empty()).map(|element| element.content)
}

/// A non-negative INTEGER without its sign byte, as PKCS #11 has its big integers.
pub fn unsigned(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, rest @ ..] if !rest.is_empty() => Some(rest),
        [first, ..] if *first < 0x80 => Some(content),
        _ => None,
    }
}

/// A non-negative INTEGER of a big-endian number; None for an empty one.
pub fn integer(number: &[u8]) -> Option<Vec<u8>> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = &number[zeros.min(number.len().checked_sub(1)?)..];
    let sign: &[u8] = if digits[0] < 0x80 { &[] } else { &[0] };
    Some(encode(INTEGER, &[sign, digits].concat()))
}

/// An OCTET STRING around `content`.
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    encode(OCTET_STRING, content)
}

/// An element with this tag around `content`.
pub fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut encoded = vec![tag];
    if content.len() < 0x80 {
        encoded.push(content.len() as u8);
    } else {
        let length = content.len().to_be_bytes();
        let used = &length[length.iter().take_while(|byte| **byte == 0).count()..];
        encoded.push(0x80 | used.len() as u8);
        encoded.extend_from_slice(used);
    }
    encoded.extend_from_slice(content);
    encoded
}

fn read_length(input: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return None;
    }
    let digits = rest.get(..count)?;
    let length = digits.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    let shortest = digits[0] != 0 && length >= 0x80;
    shortest.then_some((length, &rest[count..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_content_and_rest() {
        let element = read(&[2, 1, 7, 9], INTEGER).unwrap();
        assert_eq!((element.content, element.encoded, element.rest), (&[7][..], &[2, 1, 7][..], &[9][..]));
    }

    #[test]
    fn refuses_what_is_not_der() {
        for wrong in [&[][..], &[2], &[2, 2, 7], &[2, 0x80], &[2, 0x81, 1, 7], &[2, 0x82, 0, 0x80], &[4, 1, 7]] {
            assert_eq!(read(wrong, INTEGER), None, "{wrong:?}");
        }
        assert_eq!(read_only(&[2, 1, 7, 9], INTEGER), None);
    }

    #[test]
    fn integers_lose_their_sign_byte_only() {
        assert_eq!(unsigned(&[0, 0x80]), Some(&[0x80][..]));
        assert_eq!(unsigned(&[1, 0, 1]), Some(&[1, 0, 1][..]));
        assert_eq!(unsigned(&[0x80]), None);
        assert_eq!(unsigned(&[]), None);
    }

    #[test]
    fn integers_are_as_short_as_they_can_be() {
        assert_eq!(integer(&[0, 0, 0x80]), Some(vec![2, 2, 0, 0x80]));
        assert_eq!(integer(&[0]), Some(vec![2, 1, 0]));
        assert_eq!(integer(&[]), None);
    }

    #[test]
    fn long_octet_strings_read_back() {
        for length in [0, 127, 128, 133, 255, 256, 70_000] {
            let content = vec![5; length];
            assert_eq!(read_only(&octet_string(&content), OCTET_STRING), Some(&content[..]));
        }
    }
}
