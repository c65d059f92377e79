//! What comes from C and goes there: texts, buffers, structs that may be older or newer than the
//! library.

use std::ffi::{CStr, c_char};

use crate::status::{Failure, ROVER_RTC_TOO_SMALL};

/// A text that may be missing.
///
/// # Safety
///
/// `text` is NULL, or points to bytes that end with a zero.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: as required of the caller.
    let text = unsafe { CStr::from_ptr(text) }.to_str();
    text.map(Some).map_err(|_| Failure::invalid(format!("{what} is not UTF-8")))
}

/// A text that must be there.
///
/// # Safety
///
/// As of [`text`].
pub(crate) unsafe fn needed<'a>(chars: *const c_char, what: &str) -> Result<&'a str, Failure> {
    // SAFETY: as required of the caller.
    unsafe { text(chars, what) }?.ok_or_else(|| null(what))
}

/// Texts of an array.
///
/// # Safety
///
/// `texts` points to `count` texts, of which each is as of [`text`]; or `count` is 0.
pub(crate) unsafe fn texts<'a>(
    texts: *const *const c_char,
    count: usize,
    what: &str,
) -> Result<Vec<&'a str>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if texts.is_null() {
        return Err(null(what));
    }
    // SAFETY: as required of the caller.
    let texts = unsafe { std::slice::from_raw_parts(texts, count) };
    // SAFETY: as required of the caller.
    texts.iter().map(|text| unsafe { needed(*text, what) }).collect()
}

/// Bytes.
///
/// # Safety
///
/// `data` points to `size` bytes, or `size` is 0.
pub(crate) unsafe fn bytes<'a>(
    data: *const u8,
    size: usize,
    what: &str,
) -> Result<&'a [u8], Failure> {
    if size == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null(what));
    }
    if size > isize::MAX as usize {
        return Err(Failure::invalid(format!("{what} is larger than memory")));
    }
    // SAFETY: as required of the caller.
    Ok(unsafe { std::slice::from_raw_parts(data, size) })
}

/// Where a result goes.
///
/// # Safety
///
/// `place` is NULL, or can be written.
pub(crate) unsafe fn put<T>(place: *mut T, value: T, what: &str) -> Result<(), Failure> {
    if place.is_null() {
        return Err(null(what));
    }
    // SAFETY: as required of the caller; C may not have initialised it.
    unsafe { place.write(value) };
    Ok(())
}

/// Where a result goes that the program may not want.
///
/// # Safety
///
/// `place` is NULL, or can be written.
pub(crate) unsafe fn put_if_wanted<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: as required of the caller.
        unsafe { place.write(value) };
    }
}

/// Writes a text and the zero behind it to a buffer, and the size of both to `needed`, if that is
/// not NULL.
///
/// # Safety
///
/// `buffer` points to `capacity` bytes, or `capacity` is 0; `needed` is NULL or can be written.
pub(crate) unsafe fn write_text(
    text: &[u8],
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> Result<(), Failure> {
    let size = text.len() + 1;
    // SAFETY: as required of the caller.
    unsafe { put_if_wanted(needed, size) };
    if size > capacity || buffer.is_null() {
        let text = format!("{size} bytes are needed");
        return Err(Failure::new(ROVER_RTC_TOO_SMALL, text));
    }
    // SAFETY: `buffer` has room for `size` bytes, and is not part of `text`.
    unsafe {
        buffer.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

/// Writes as much of a text as there is room for, whole characters and a NUL.
pub(crate) fn put_text(place: &mut [c_char], text: &str) {
    let mut end = text.len().min(place.len() - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let bytes = text.as_bytes()[..end].iter().map(|byte| if *byte == 0 { b' ' } else { *byte });
    for (place, byte) in place.iter_mut().zip(bytes.chain([0])) {
        *place = byte as c_char;
    }
}

/// A struct that begins with its size, of which fields may be added at the end.
///
/// # Safety
///
/// All bytes zero is a value of it, it has no padding that matters, and its first field is a `u32`.
pub(crate) unsafe trait Sized32: Copy {
    /// Its size in the first version that had it.
    const LEAST: usize;
    /// How C calls it.
    const NAME: &'static str;
}

/// Reads a struct over its defaults, as far as the program knows its fields.
///
/// # Safety
///
/// `place` is NULL, or points to as many bytes as its first field says.
pub(crate) unsafe fn read_sized<T: Sized32>(place: *const T, defaults: T) -> Result<T, Failure> {
    // SAFETY: as required of the caller.
    let size = unsafe { declared(place) }?;
    let mut value = defaults;
    let known = size.min(size_of::<T>());
    // SAFETY: both have `known` bytes.
    unsafe { (&raw mut value).cast::<u8>().copy_from_nonoverlapping(place.cast(), known) };
    for byte in known..size {
        // SAFETY: `place` has `size` bytes.
        if unsafe { place.cast::<u8>().add(byte).read() } != 0 {
            let text = format!("{} has settings that this library is too old for", T::NAME);
            return Err(Failure::invalid(text));
        }
    }
    Ok(value)
}

/// Writes a struct, as far as the program knows its fields.
///
/// # Safety
///
/// As of [`read_sized`], and the bytes can be written.
pub(crate) unsafe fn write_sized<T: Sized32>(place: *mut T, value: T) -> Result<(), Failure> {
    // SAFETY: as required of the caller.
    let size = unsafe { declared(place) }?;
    let known = size.min(size_of::<T>());
    let head = size_of::<u32>();
    // SAFETY: both have `known` bytes, of which the size stays.
    unsafe {
        let from = (&raw const value).cast::<u8>().add(head);
        place.cast::<u8>().add(head).copy_from_nonoverlapping(from, known - head);
    }
    Ok(())
}

/// The size that the program has given a struct.
///
/// # Safety
///
/// As of [`read_sized`].
pub(crate) unsafe fn declared<T: Sized32>(place: *const T) -> Result<usize, Failure> {
    if place.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: as required of the caller.
    let size = unsafe { place.cast::<u32>().read() } as usize;
    if size < T::LEAST || size > MAX_STRUCT || !size.is_multiple_of(align_of::<T>()) {
        let text = format!("struct_size of {} is {size}: set it to its sizeof", T::NAME);
        return Err(Failure::invalid(text));
    }
    Ok(size)
}

pub(crate) fn null(what: &str) -> Failure {
    Failure::invalid(format!("{what} is NULL"))
}

/// More than any struct will ever have; what is above is not a size.
const MAX_STRUCT: usize = 1 << 16;
