//! The parameter of a mechanism as `api` has read it from C.
//!
//! Always true: the bytes and what their pointers led to have been copied by nobody yet, and live as long as the call.

use std::ops::Deref;

/// The bytes of a parameter, and the bytes behind each pointer in it, in the structure's order.
#[derive(Clone, Debug, Default)]
pub struct Parameter<'a> {
    pub bytes: &'a [u8],
    pub behind: Vec<&'a [u8]>,
}

impl Deref for Parameter<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl<'a> From<&'a [u8]> for Parameter<'a> {
    fn from(bytes: &'a [u8]) -> Parameter<'a> {
        Parameter { bytes, behind: vec![] }
    }
}

impl Parameter<'_> {
    /// The CK_ULONG at this place of the structure, counted in CK_ULONGs.
    pub fn number(&self, index: usize) -> Option<privyseal_sys::CK_ULONG> {
        const SIZE: usize = size_of::<privyseal_sys::CK_ULONG>();
        let bytes = self.bytes.get(index * SIZE..(index + 1) * SIZE)?;
        bytes.try_into().ok().map(privyseal_sys::CK_ULONG::from_ne_bytes)
    }

    /// Whether it has a size and as many pointers.
    pub fn is_like(&self, size: usize, pointers: usize) -> bool {
        (self.bytes.len(), self.behind.len()) == (size, pointers)
    }
}
