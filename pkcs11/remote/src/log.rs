//! The module's log file.
//!
//! Always true: level 0, a missing file name and a file that cannot be written are all the same silence, because the
//! host's program must not notice its module's log. The file is made with mode 0600, is only ever appended to, and a
//! symbolic link in its place is not followed. Callers pass no secrets.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

// The values of <fcntl.h> on Linux, x86-64 and aarch64; std has no name for them.
#[cfg(not(target_arch = "aarch64"))]
const O_NOFOLLOW: i32 = 0o400_000;
#[cfg(target_arch = "aarch64")]
const O_NOFOLLOW: i32 = 0o100_000;
// A log file that is a pipe without a reader must not stop the host's program.
const O_NONBLOCK: i32 = 0o4_000;

const SECONDS_PER_DAY: u64 = 86_400;

/// Writes lines to the log file. Copies share the file.
#[derive(Clone, Debug)]
pub struct Log {
    level: u8,
    file: Option<Arc<File>>,
}

impl Log {
    /// Opens `path` when `level` is above 0. A file that cannot be opened silences the log.
    pub fn open(level: u8, path: Option<&Path>) -> Log {
        let file = path.filter(|_| level > 0).and_then(|path| {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600).custom_flags(O_NOFOLLOW | O_NONBLOCK);
            options.open(path).ok()
        });
        Log { level, file: file.map(Arc::new) }
    }

    /// A log that writes nothing.
    pub fn silent() -> Log {
        Log { level: 0, file: None }
    }

    /// Whether a message of this level would be written, for callers whose message costs something to build.
    pub fn is_on(&self, level: u8) -> bool {
        self.file.is_some() && level > 0 && level <= self.level
    }

    /// Appends one line: time in UTC, process id, message. Line ends inside the message become spaces, so that an
    /// answer from the network cannot forge a line.
    pub fn write(&self, level: u8, message: &str) {
        if !self.is_on(level) {
            return;
        }
        let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!("{} [{}] {message}\n", now(), std::process::id());
        if let Some(file) = &self.file {
            // One write for one line, so that the lines of several processes do not mix.
            let _ = (&**file).write(line.as_bytes());
        }
    }
}

/// The present time in RFC 3339, UTC, with milliseconds.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_millis())
}

/// Seconds since 1970 as a date and time, in the proleptic Gregorian calendar.
fn rfc3339(seconds: u64, milliseconds: u32) -> String {
    let (year, month, day) = date(seconds / SECONDS_PER_DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Days since 1970 as year, month and day: whole years are taken off first, then whole months.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    fn path(test: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("privyseal-log-{test}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn writes_what_the_level_allows_one_line_each() {
        let path = path("lines");
        let log = Log::open(2, Some(&path));
        log.write(1, "first\nforged");
        log.clone().write(2, "second");
        log.write(3, "too much");
        log.write(0, "never");
        let text = std::fs::read_to_string(&path).unwrap();
        let messages: Vec<&str> = text.lines().map(|line| line.split_once("] ").unwrap().1).collect();
        assert_eq!(messages, ["first forged", "second"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn appends_to_what_is_there() {
        let path = path("append");
        Log::open(1, Some(&path)).write(1, "one");
        Log::open(1, Some(&path)).write(1, "two");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn level_zero_makes_no_file() {
        let path = path("silent");
        Log::open(0, Some(&path)).write(1, "nothing");
        assert!(!path.exists());
        assert!(!Log::silent().is_on(1));
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let (target, link) = (path("target"), path("link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        Log::open(1, Some(&link)).write(1, "nothing");
        assert!(!target.exists());
        std::fs::remove_file(link).unwrap();
    }

    #[test]
    fn dates_are_the_calendar_s() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_795_432_500, "2026-11-23T11:15:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(seconds, 0), text);
        }
    }
}
