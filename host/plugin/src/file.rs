//! Reads a whole file of limited size: a plugin or a look-up table. Does not look at the content.

use std::{fs::File, io::Read as _, path::Path};

use crate::error::Reason;

/// Reads all bytes of a regular file, or returns an error if the file has more than `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Reason> {
    // Checked before the file is opened: opening a pipe would wait for its writer.
    if !path.metadata().map_err(Reason::Read)?.is_file() {
        return Err(Reason::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(Reason::Read)?;
    match bytes.len() as u64 {
        0 => Err(Reason::Empty),
        n if n > limit => Err(Reason::TooLarge { limit }),
        _ => Ok(bytes),
    }
}
