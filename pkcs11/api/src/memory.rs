//! Reading and writing what C callers point at.
//!
//! Always true: NULL and a length that cannot exist are `ArgumentsBad`; values are read and written without assuming
//! that they are aligned, because some callers pack their structures.

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr;
use std::slice;

use privyseal_sys::*;
use privyseal_token::{Error, Parameter, Room};

/// More attributes than any template has; a larger count is a lie.
const MOST_ATTRIBUTES: usize = 1 << 16;

/// The value behind a pointer.
///
/// # Safety
/// `pointer` is NULL or points at a `T`.
pub unsafe fn read<T: Copy>(pointer: *const T) -> Result<T, Error> {
    if pointer.is_null() {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: it is not NULL, and the caller vouches for the rest.
    Ok(unsafe { ptr::read_unaligned(pointer) })
}

/// Writes a value behind a pointer.
///
/// # Safety
/// `pointer` is NULL or points at room for a `T`.
pub unsafe fn write<T>(pointer: *mut T, value: T) -> Result<(), Error> {
    if pointer.is_null() {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: as in `read`.
    unsafe { ptr::write_unaligned(pointer, value) };
    Ok(())
}

/// The bytes behind a pointer; NULL stands for none of them.
///
/// # Safety
/// `pointer` is NULL or points at `length` bytes that nobody changes while the slice is used.
pub unsafe fn bytes<'a>(pointer: *const u8, length: CK_ULONG) -> Result<&'a [u8], Error> {
    let length = possible(length, 1)?;
    match (pointer.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Error::ArgumentsBad),
        // SAFETY: it is not NULL, the length is possible, and the caller vouches for the rest.
        (false, _) => Ok(unsafe { slice::from_raw_parts(pointer, length) }),
    }
}

/// Fills a program's array.
///
/// # Safety
/// `pointer` is NULL or points at room for as many values.
pub unsafe fn fill<T: Copy>(pointer: *mut T, values: &[T]) -> Result<(), Error> {
    if pointer.is_null() && !values.is_empty() {
        return Err(Error::ArgumentsBad);
    }
    for (index, value) in values.iter().enumerate() {
        // SAFETY: within the room that the caller vouches for.
        unsafe { ptr::write_unaligned(pointer.add(index), *value) };
    }
    Ok(())
}

/// Where a mechanism's parameter has pointers, and the length behind each: places in a structure of this size.
type Pointers = (usize, &'static [(usize, usize)]);

const CONTEXT: Pointers = (
    size_of::<CK_SIGN_ADDITIONAL_CONTEXT>(),
    &[(offset_of!(CK_SIGN_ADDITIONAL_CONTEXT, pContext), offset_of!(CK_SIGN_ADDITIONAL_CONTEXT, ulContextLen))],
);
const HASH_CONTEXT: Pointers = (
    size_of::<CK_HASH_SIGN_ADDITIONAL_CONTEXT>(),
    &[(
        offset_of!(CK_HASH_SIGN_ADDITIONAL_CONTEXT, pContext),
        offset_of!(CK_HASH_SIGN_ADDITIONAL_CONTEXT, ulContextLen),
    )],
);

const OAEP: Pointers = (
    size_of::<CK_RSA_PKCS_OAEP_PARAMS>(),
    &[(offset_of!(CK_RSA_PKCS_OAEP_PARAMS, pSourceData), offset_of!(CK_RSA_PKCS_OAEP_PARAMS, ulSourceDataLen))],
);
const ECDH: Pointers = (
    size_of::<CK_ECDH1_DERIVE_PARAMS>(),
    &[
        (offset_of!(CK_ECDH1_DERIVE_PARAMS, pSharedData), offset_of!(CK_ECDH1_DERIVE_PARAMS, ulSharedDataLen)),
        (offset_of!(CK_ECDH1_DERIVE_PARAMS, pPublicData), offset_of!(CK_ECDH1_DERIVE_PARAMS, ulPublicDataLen)),
    ],
);

/// The pointers in the parameter of a mechanism.
fn pointers(kind: CK_MECHANISM_TYPE) -> Option<Pointers> {
    match kind {
        CKM_RSA_PKCS_OAEP => Some(OAEP),
        CKM_ECDH1_DERIVE => Some(ECDH),
        CKM_ML_DSA => Some(CONTEXT),
        CKM_HASH_ML_DSA_SHA224..=CKM_HASH_ML_DSA_SHA3_512 => Some(CONTEXT),
        CKM_HASH_ML_DSA => Some(HASH_CONTEXT),
        _ => None,
    }
}

/// A mechanism: its type and its parameter. A parameter of another size than its mechanism's has no pointers.
///
/// # Safety
/// `pointer` is NULL or points at a CK_MECHANISM that holds together.
pub unsafe fn mechanism<'a>(pointer: *const CK_MECHANISM) -> Result<(CK_MECHANISM_TYPE, Parameter<'a>), Error> {
    // SAFETY: the caller vouches for the pointer, and for what it holds.
    unsafe {
        let mechanism = read(pointer)?;
        let whole = bytes(mechanism.pParameter as *const u8, mechanism.ulParameterLen)?;
        let places = match pointers(mechanism.mechanism) {
            Some((size, places)) if size == whole.len() => places,
            _ => &[],
        };
        let behind = |(pointer, length): &(usize, usize)| {
            bytes(read(whole.as_ptr().add(*pointer).cast())?, read(whole.as_ptr().add(*length).cast())?)
        };
        let behind: Result<_, Error> = places.iter().map(behind).collect();
        Ok((mechanism.mechanism, Parameter { bytes: whole, behind: behind? }))
    }
}

/// The attributes of a template, without their values.
///
/// # Safety
/// `pointer` is NULL or points at `count` attributes.
pub unsafe fn attributes(pointer: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Vec<CK_ATTRIBUTE>, Error> {
    let count = possible(count, size_of::<CK_ATTRIBUTE>())?;
    if count > MOST_ATTRIBUTES || (pointer.is_null() && count > 0) {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: it is not NULL where the count is not 0, and the caller vouches for the rest.
    Ok((0..count).map(|index| unsafe { ptr::read_unaligned(pointer.add(index)) }).collect())
}

/// The attributes of a template with their values.
///
/// # Safety
/// As for `attributes`, and each value pointer is NULL or points at as many bytes as it says.
pub unsafe fn template(
    pointer: *const CK_ATTRIBUTE,
    count: CK_ULONG,
) -> Result<Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>, Error> {
    // SAFETY: the caller vouches for the template and its values.
    unsafe {
        let attributes = attributes(pointer, count)?;
        let value = |one: &CK_ATTRIBUTE| bytes(one.pValue as *const u8, one.ulValueLen).map(<[u8]>::to_vec);
        attributes.iter().map(|one| Ok((one.type_, value(one)?))).collect()
    }
}

/// A program's buffer for bytes and the place of its length.
#[derive(Clone, Copy)]
pub struct Output<T> {
    buffer: *mut T,
    length: *mut CK_ULONG,
    pub room: Room,
}

impl<T: Copy> Output<T> {
    /// Reads how much room there is; no buffer asks for the length.
    ///
    /// # Safety
    /// Both are NULL or point at what C says they do, until `give` has been called.
    pub unsafe fn new(buffer: *mut T, length: *mut CK_ULONG) -> Result<Output<T>, Error> {
        // SAFETY: the caller vouches for the pointer.
        let room = unsafe { read(length)? };
        let room = if buffer.is_null() { Room::Query } else { Room::Bytes(room as usize) };
        Ok(Output { buffer, length, room })
    }

    /// Writes the values and their count, or the count alone where there is no room for them.
    pub fn give(self, values: &[T]) -> Result<(), Error> {
        self.give_length(values.len())?;
        match self.room {
            Room::Query => Ok(()),
            Room::Bytes(room) if room < values.len() => Err(Error::BufferTooSmall),
            // SAFETY: there is room, and the maker of this output vouched for the pointer.
            Room::Bytes(_) => unsafe { fill(self.buffer, values) },
        }
    }

    /// Writes the count alone.
    pub fn give_length(self, length: usize) -> Result<(), Error> {
        // SAFETY: the maker of this output vouched for the pointer.
        unsafe { write(self.length, length as CK_ULONG) }
    }
}

/// A count of things of a size, when so much memory can be.
fn possible(count: CK_ULONG, size: usize) -> Result<usize, Error> {
    let count = count as usize;
    match count.checked_mul(size) {
        Some(total) if total <= isize::MAX as usize => Ok(count),
        _ => Err(Error::ArgumentsBad),
    }
}

/// Whether a reserved argument is NULL, as it has to be.
pub fn reserved(pointer: *mut c_void) -> Result<(), Error> {
    match pointer.is_null() {
        true => Ok(()),
        false => Err(Error::ArgumentsBad),
    }
}
