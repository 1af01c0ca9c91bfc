//! The configuration of a host: which appliance, which user, which core. docs/reference/client-configuration.md
//! describes the file for users, and the command line and the Python SDK read it by the same rules.
//!
//! Always true: an error names files, keys and lines, and never a value, because values are passwords.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::lenient_json;
use crate::{Log, Secret, Url};

const SYSTEM_FILES: [&str; 2] = ["/etc/privyseal/client.json", "/etc/n200.conf"];
const MAX_FILE: u64 = 1024 * 1024;
const MAX_SECRET: u64 = 64 * 1024;
const MAX_NUMBER: u64 = (1 << 31) - 1;
const READABLE_BY_OTHERS: u32 = 0o004;
/// `AT_SECURE` of <elf.h>: the entry of the auxiliary vector that tells set-user-id programs.
const AT_SECURE: usize = 23;

/// What a PKCS #11 slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    Core,
    Key,
}

/// How to reach an appliance, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Tried in this order; never empty.
    pub urls: Vec<Url>,
    /// Empty where only a credential or a certificate tells who this host is.
    pub user: String,
    /// The user's password; None where `password_file` or `credential_file` has to be read for it.
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// Number or name of the one core to show; None shows all that the user may see.
    pub core: Option<String>,
    /// PIN of keys that are made through PKCS #11.
    pub keygen_pin: Option<Secret>,
    /// 0 writes nothing.
    pub log_level: u8,
    pub log_output: Option<PathBuf>,
    /// PEM file with the certificates to trust; None means the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the DER of the appliance's CA certificate.
    pub fingerprint: Option<[u8; 32]>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// File with a bearer credential; it goes before a password.
    pub credential_file: Option<PathBuf>,
    /// Longest wait for one node's answer.
    pub timeout: Duration,
    /// How often a request is repeated after the network failed.
    pub retries: u32,
    pub slots: Slots,
    /// Most connections at a time.
    pub pool: usize,
    /// What is wrong but stops nothing, one sentence each.
    pub warnings: Vec<String>,
}

/// Why a configuration cannot be used. Its text never holds a value from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationError {
    text: String,
    log_level: u8,
    log_output: Option<PathBuf>,
}

impl ConfigurationError {
    fn new(text: String) -> ConfigurationError {
        ConfigurationError { text, log_level: 0, log_output: None }
    }

    /// The log that the file names, for the host to find out why it has no slots; of a file that is no JSON, the log
    /// that it seems to name.
    pub fn log(&self) -> Log {
        Log::open(self.log_level, self.log_output.as_deref())
    }
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for ConfigurationError {}

impl Configuration {
    /// Finds and reads the configuration file: the one that `$PRIVYSEAL_CONFIG` names, else the first that exists of
    /// `~/.config/privyseal/client.json`, `/etc/privyseal/client.json` and `/etc/n200.conf`. None where there is none,
    /// which is no error for a module that every program of a host may load.
    ///
    /// Programs with more rights than their caller read the system's files only: the environment is the caller's, and
    /// a log file is opened with the program's rights.
    pub fn find() -> Result<Option<Configuration>, ConfigurationError> {
        let path = match runs_with_more_rights() {
            true => search(|_| None),
            false => search(|name| std::env::var_os(name)),
        };
        path.map(|path| Configuration::read(&path)).transpose()
    }

    /// Reads one configuration file. Relative file names in it are meant from its folder.
    pub fn read(path: &Path) -> Result<Configuration, ConfigurationError> {
        let shown = path.display();
        let (content, mode) = read_file(path, MAX_FILE)?;
        let text = std::str::from_utf8(&content)
            .map_err(|error| ConfigurationError::new(format!("{shown}: not UTF-8 at byte {}", error.valid_up_to())))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut configuration = from_text(text, folder)
            .map_err(|error| ConfigurationError { text: format!("{shown}: {error}"), ..error })?;
        if mode & READABLE_BY_OTHERS != 0 {
            let advice = format!("{shown} can be read by every user of this host; type: chmod o-rwx {shown}");
            configuration.warnings.push(advice);
        }
        Ok(configuration)
    }

    /// Reads the text of a configuration file. Relative file names in it are meant from the current folder.
    pub fn parse(text: &str) -> Result<Configuration, ConfigurationError> {
        from_text(text, Path::new(""))
    }
}

/// Reads a password or credential from a file: its one line, without the line's end. The error has no content.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, ConfigurationError> {
    let (content, _) = read_file(path, MAX_SECRET)?;
    let wrong = |what: &str| ConfigurationError::new(format!("{}: {what}", path.display()));
    let text = std::str::from_utf8(&content).map_err(|_| wrong("must be UTF-8 text"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(wrong("is empty"));
    }
    if line.contains(['\n', '\r', '\0']) {
        return Err(wrong("must be one line"));
    }
    Ok(Secret::from(line))
}

/// The content of a file of at most `limit` bytes, and its mode.
fn read_file(path: &Path, limit: u64) -> Result<(Zeroizing<Vec<u8>>, u32), ConfigurationError> {
    let failed =
        |error: std::io::Error| ConfigurationError::new(format!("{}: cannot be read: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // The whole capacity at once: a vector that grows leaves copies behind that nobody overwrites.
    let mut content = Zeroizing::new(Vec::with_capacity(metadata.len().min(limit) as usize + 1));
    file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > limit {
        return Err(ConfigurationError::new(format!("{}: larger than {limit} bytes", path.display())));
    }
    Ok((content, metadata.permissions().mode()))
}

/// The configuration file in use. A file that `$PRIVYSEAL_CONFIG` names is in use even if it is not there.
fn search(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let value = |name| environment(name).filter(|value| !value.is_empty());
    if let Some(named) = value("PRIVYSEAL_CONFIG") {
        return Some(PathBuf::from(named));
    }
    let own = value("HOME").map(|home| Path::new(&home).join(".config/privyseal/client.json"));
    own.into_iter().chain(SYSTEM_FILES.map(PathBuf::from)).find(|path| path.exists())
}

/// Whether the kernel started this program with more rights than its caller has (set-user-id, file capabilities).
fn runs_with_more_rights() -> bool {
    match std::fs::read("/proc/self/auxv") {
        Ok(vector) => is_secure(&vector),
        // The vector of a process with more rights may be closed to itself; without /proc nobody can tell.
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

/// Looks for `AT_SECURE` in an auxiliary vector: pairs of words in the machine's order.
fn is_secure(vector: &[u8]) -> bool {
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).unwrap_or(0);
    vector.chunks_exact(2 * WORD).any(|pair| word(&pair[..WORD]) == AT_SECURE && word(&pair[WORD..]) != 0)
}

/// The configuration that `text` means. The error has no file name in front yet.
fn from_text(text: &str, folder: &Path) -> Result<Configuration, ConfigurationError> {
    let mut entries = lenient_json::parse(text).map_err(|error| unreadable(error, text, folder))?;
    // The log goes first, so that what is wrong with the others can be written down.
    entries.sort_by_key(|(name, _)| !name.starts_with("log_"));
    let mut configuration = defaults();
    match take_all(&mut configuration, entries, folder) {
        Ok(()) => Ok(configuration),
        Err(text) => {
            let Configuration { log_level, log_output, .. } = configuration;
            Err(ConfigurationError { text, log_level, log_output })
        }
    }
}

/// The error of a text that is no JSON, with the log that an entry in it seems to name: a host with a lost quotation
/// mark has no other way to hear of it.
fn unreadable(error: String, text: &str, folder: &Path) -> ConfigurationError {
    let is_around = |c: char| c.is_whitespace() || c == '"' || c == '}' || lenient_json::is_typographic(c);
    let entry = |name| {
        text.split(['\n', ',']).find_map(|part| {
            let (before, value) = part.split_once(':')?;
            (before.trim_matches(|c| is_around(c) || c == '{') == name).then(|| value.trim_matches(is_around))
        })
    };
    let log_level = entry("log_level").and_then(|level| level.parse().ok()).unwrap_or(0);
    let log_output = entry("log_output").and_then(|path| file(Value::from(path), folder).ok());
    ConfigurationError { text: error, log_level, log_output }
}

fn defaults() -> Configuration {
    Configuration {
        urls: Vec::new(),
        user: String::new(),
        password: None,
        password_file: None,
        core: None,
        keygen_pin: None,
        log_level: 0,
        log_output: None,
        ca_file: None,
        fingerprint: None,
        client_cert: None,
        client_key: None,
        credential_file: None,
        timeout: Duration::from_secs(10),
        retries: 2,
        slots: Slots::Core,
        pool: 8,
        warnings: Vec::new(),
    }
}

fn take_all(into: &mut Configuration, entries: Vec<(String, Value)>, folder: &Path) -> Result<(), String> {
    for (name, value) in entries {
        let taken = take(into, &name, value, folder);
        match taken.map_err(|what| format!("'{name}' {what}"))? {
            Taken::Known => {}
            Taken::Unknown => into.warnings.push(format!("'{name}' is not a known key")),
        }
    }
    if into.urls.is_empty() {
        return Err("no appliance is named: there is no 'url'".to_owned());
    }
    Ok(())
}

enum Taken {
    Known,
    Unknown,
}

/// Puts one entry of the file into the configuration. The error says what the value must be.
fn take(into: &mut Configuration, name: &str, value: Value, folder: &Path) -> Result<Taken, String> {
    match name {
        "url" => add_url(&mut into.urls, value, true)?,
        "urls" => list(value)?.into_iter().try_for_each(|one| add_url(&mut into.urls, one, false))?,
        "user" => into.user = text(value)?,
        "pass" => into.password = Some(Secret::new(text(value)?)),
        "pass_file" => into.password_file = Some(file(value, folder)?),
        "core" => into.core = Some(core(value)?),
        "keygen_pin" => into.keygen_pin = Some(Secret::new(text(value)?)),
        "log_level" => into.log_level = u8::try_from(number(value, 0)?).unwrap_or(u8::MAX),
        "log_output" => into.log_output = Some(file(value, folder)?),
        "ca_file" => into.ca_file = Some(file(value, folder)?),
        "fingerprint" => into.fingerprint = Some(fingerprint(&text(value)?)?),
        "client_cert" => into.client_cert = Some(file(value, folder)?),
        "client_key" => into.client_key = Some(file(value, folder)?),
        "credential_file" => into.credential_file = Some(file(value, folder)?),
        "timeout_ms" => into.timeout = Duration::from_millis(number(value, 1)?),
        "retries" => into.retries = number(value, 0)? as u32,
        "slots" => into.slots = slots(value)?,
        "pool" => into.pool = number(value, 1)? as usize,
        _ => return Ok(Taken::Unknown),
    }
    Ok(Taken::Known)
}

/// `url` goes before the entries of `urls`, wherever it stands in the file; what stands twice counts once.
fn add_url(urls: &mut Vec<Url>, value: Value, first: bool) -> Result<(), String> {
    let url = Url::parse(&text(value)?)?;
    if first {
        urls.retain(|other| *other != url);
        urls.insert(0, url);
    } else if !urls.contains(&url) {
        urls.push(url);
    }
    Ok(())
}

fn list(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err("must be a list of URLs".to_owned()),
    }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.contains('\0') => Err("holds a character that is none".to_owned()),
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err("must be a text that is not empty".to_owned()),
    }
}

fn file(value: Value, folder: &Path) -> Result<PathBuf, String> {
    let name = text(value)?;
    let Some(below) = name.strip_prefix('~') else { return Ok(folder.join(name)) };
    // The homes of other users (`~bob`) would need the password database.
    match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) if below.is_empty() || below.starts_with('/') => {
            Ok(PathBuf::from(home).join(below.trim_start_matches('/')))
        }
        _ => Err("names a home folder that is not there".to_owned()),
    }
}

fn core(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            let digits = text.parse::<u64>().unwrap_or(u64::MAX);
            Ok(number(Value::from(digits), 1)?.to_string())
        }
        Value::String(_) => text(value),
        _ => Ok(number(value, 1)?.to_string()),
    }
}

fn number(value: Value, least: u64) -> Result<u64, String> {
    match value.as_u64() {
        Some(number) if (least..=MAX_NUMBER).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {MAX_NUMBER}")),
    }
}

fn slots(value: Value) -> Result<Slots, String> {
    match value.as_str() {
        Some("core") => Ok(Slots::Core),
        Some("key") => Ok(Slots::Key),
        _ => Err("must be \"core\" or \"key\"".to_owned()),
    }
}

/// `sha256:` and 64 hexadecimal digits; colons between the bytes are accepted.
fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "must be sha256: and 64 hexadecimal digits".to_owned();
    let (algorithm, digits) = text.split_once(':').ok_or_else(wrong)?;
    let digits: Option<Vec<u32>> = digits.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|_| algorithm.eq_ignore_ascii_case("sha256")).ok_or_else(wrong)?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8)).collect();
    <[u8; 32]>::try_from(bytes).ok().filter(|_| digits.len() == 64).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = r#""url": "https://hsm.example:8443""#;

    fn with(entry: &str) -> Result<Configuration, ConfigurationError> {
        Configuration::parse(&format!("{{{URL}, {entry}}}"))
    }

    fn refusal(entry: &str) -> String {
        with(entry).unwrap_err().to_string()
    }

    /// A file in a folder of its own, which goes when the test is over.
    struct Written(PathBuf);

    impl Written {
        fn new(test: &str, name: &str, content: &str, mode: u32) -> Written {
            let folder = std::env::temp_dir().join(format!("privyseal-{test}-{}", std::process::id()));
            std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.join(name), content).unwrap();
            std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
            Written(folder)
        }
    }

    impl Drop for Written {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_error_is_written_to_the_log_that_the_file_names() {
        let written = Written::new("log-of-error", "log", "", 0o600);
        let log = written.0.join("log");
        let place = format!(r#""log_level": 1, "log_output": "{}""#, log.display());
        for entry in [format!(r#""slots": "both", {place}"#), format!(r#"{place}, "slots": "both""#)] {
            let error = with(&entry).unwrap_err();
            error.log().write(1, &error.to_string());
        }
        assert_eq!(std::fs::read_to_string(log).unwrap().matches("'slots' must be").count(), 2);
        assert!(!with("{").unwrap_err().log().is_on(1));
    }

    #[test]
    fn a_text_that_is_no_json_may_still_say_where_its_log_is() {
        let folder = Path::new("/nowhere");
        for text in [
            "{\n  \u{201c}log_level\u{201d}: 3,\n  \u{201c}log_output\u{201d}: \u{201c}a.log\u{201d},\n}",
            r#"{"url" "x", "log_level": 3, "log_output": "a.log"}"#,
            "\"log_output\": \"/nowhere/a.log\"\n, log_level : 3 }",
        ] {
            let error = from_text(text, folder).unwrap_err();
            assert_eq!((error.log_level, error.log_output), (3, Some(PathBuf::from("/nowhere/a.log"))), "{text}");
        }
        let error = from_text(r#"{"my_log_level": 3, "pass": "log_level", "log_output": 1"#, folder).unwrap_err();
        assert_eq!(error.log_level, 0);
    }

    #[test]
    fn a_url_is_enough() {
        let configuration = Configuration::parse(&format!("{{{URL}}}")).unwrap();
        assert_eq!(configuration.urls[0].to_string(), "https://hsm.example:8443");
        assert_eq!(configuration.timeout, Duration::from_secs(10));
        assert_eq!((configuration.retries, configuration.pool, configuration.log_level), (2, 8, 0));
        assert_eq!(configuration.slots, Slots::Core);
        assert_eq!((configuration.core, configuration.password), (None, None));
    }

    #[test]
    fn the_original_appliance_s_file_works() {
        let text = r#"{"url": "https://hsm.example/n200/web/postv1", "user": "alice", "pass": "wonder land",
            "core": 3, "keygen_pin": "12345678", "log_level": 2, "log_output": "/var/log/n200.log",}"#;
        let configuration = Configuration::parse(text).unwrap();
        assert_eq!(configuration.urls, [Url { host: "hsm.example".to_owned(), port: 443 }]);
        assert_eq!(configuration.user, "alice");
        assert_eq!(configuration.password, Some(Secret::from("wonder land")));
        assert_eq!(configuration.core.as_deref(), Some("3"));
        assert_eq!(configuration.keygen_pin, Some(Secret::from("12345678")));
        assert_eq!(configuration.log_level, 2);
        assert_eq!(configuration.log_output, Some(PathBuf::from("/var/log/n200.log")));
        assert!(configuration.warnings.is_empty());
    }

    #[test]
    fn url_stands_before_urls_and_nothing_stands_twice() {
        let text = r#"{"urls": ["https://b", "https://a", "https://b/api/v1"], "url": "https://a"}"#;
        let urls = Configuration::parse(text).unwrap().urls;
        assert_eq!(urls.iter().map(Url::to_string).collect::<Vec<_>>(), ["https://a", "https://b"]);
    }

    #[test]
    fn a_core_is_a_number_or_a_name() {
        for (value, core) in [("7", "7"), (r#""7""#, "7"), (r#""007""#, "7"), (r#""core1""#, "core1")] {
            assert_eq!(with(&format!(r#""core": {value}"#)).unwrap().core.as_deref(), Some(core));
        }
        for value in ["0", "-1", "1.0", r#""""#, r#""0""#, "null", "2147483648", r#""99999999999999999999""#] {
            assert!(refusal(&format!(r#""core": {value}"#)).contains("'core'"), "{value}");
        }
    }

    #[test]
    fn a_fingerprint_is_a_sha_256() {
        let plain = format!(r#""fingerprint": "sha256:{}""#, "0aFF".repeat(16));
        let colons = format!(r#""fingerprint": "SHA256:{}""#, ["0a", "ff"].repeat(16).join(":"));
        for entry in [plain, colons] {
            assert_eq!(with(&entry).unwrap().fingerprint.unwrap()[..3], [0x0a, 0xff, 0x0a]);
        }
        let digits = "0a".repeat(32);
        for value in ["", &digits, "sha1:00", &format!("sha256:{digits}0"), &format!("sha256:{digits}00"), "sha256:zz"]
        {
            assert!(refusal(&format!(r#""fingerprint": "{value}""#)).contains("'fingerprint' must be"), "{value}");
        }
    }

    #[test]
    fn values_that_cannot_be_right_are_named_by_their_key() {
        for (name, value) in [
            ("user", "1"),
            ("user", r#""""#),
            ("pass", "null"),
            ("pass", r#""a\u0000b""#),
            ("log_level", "-1"),
            ("timeout_ms", "0"),
            ("timeout_ms", "1e3"),
            ("retries", "true"),
            ("slots", r#""keys""#),
            ("pool", "0"),
            ("urls", r#""https://b""#),
            ("urls", r#"["http://b"]"#),
            ("ca_file", "[]"),
            ("ca_file", r#""~bob/ca.pem""#),
        ] {
            assert!(refusal(&format!(r#""{name}": {value}"#)).contains(&format!("'{name}'")), "{name}: {value}");
        }
    }

    #[test]
    fn no_error_holds_a_value() {
        for entry in [
            r#""pass": "hunter22" "core": 1"#,
            r#""pass": ["hunter22"]"#,
            r#""url": "https://alice:hunter22@hsm.example""#,
            r#""fingerprint": "hunter22""#,
            r#""pass": "hunter22"#,
        ] {
            assert!(!refusal(entry).contains("hunter"), "{entry}");
        }
    }

    #[test]
    fn an_unknown_key_is_a_warning() {
        assert_eq!(with(r#""colour": "blue""#).unwrap().warnings, ["'colour' is not a known key"]);
    }

    #[test]
    fn without_a_url_nothing_works() {
        assert!(Configuration::parse("{}").unwrap_err().to_string().contains("'url'"));
    }

    #[test]
    fn files_are_meant_from_the_configuration_s_folder() {
        let text = format!(r#"{{{URL}, "ca_file": "ca.pem", "pass_file": "/etc/pass", "log_output": "a/b.log"}}"#);
        let written = Written::new("relative", "client.json", &text, 0o600);
        let configuration = Configuration::read(&written.0.join("client.json")).unwrap();
        assert_eq!(configuration.ca_file, Some(written.0.join("ca.pem")));
        assert_eq!(configuration.password_file, Some(PathBuf::from("/etc/pass")));
        assert_eq!(configuration.log_output, Some(written.0.join("a/b.log")));
        assert!(configuration.warnings.is_empty());
    }

    #[test]
    fn a_file_that_others_can_read_is_a_warning() {
        let written = Written::new("readable", "client.json", &format!("{{{URL}}}"), 0o644);
        let configuration = Configuration::read(&written.0.join("client.json")).unwrap();
        assert!(configuration.warnings[0].contains("chmod o-rwx"), "{:?}", configuration.warnings);
    }

    #[test]
    fn files_that_are_none_are_errors_with_their_name() {
        let written = Written::new("broken", "client.json", "\u{201c}", 0o600);
        std::fs::write(written.0.join("latin1.json"), b"{\"user\": \"J\xfcrgen\"}").unwrap();
        std::fs::write(written.0.join("large.json"), vec![b' '; 1024 * 1024 + 1]).unwrap();
        for (name, what) in [
            ("missing.json", "cannot be read"),
            (".", "cannot be read"),
            ("client.json", "typographic quotes in line 1"),
            ("latin1.json", "not UTF-8 at byte 11"),
            ("large.json", "larger than"),
        ] {
            let path = written.0.join(name);
            let error = Configuration::read(&path).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(what), "{error}");
        }
    }

    #[test]
    fn the_search_prefers_the_environment_then_the_home() {
        let written = Written::new("search", ".config/privyseal/client.json", "{}", 0o600);
        let home = written.0.clone().into_os_string();
        let at_home = written.0.join(".config/privyseal/client.json");
        let environment = |named: &'static str| {
            let home = home.clone();
            move |name: &str| match name {
                "HOME" => Some(home.clone()),
                "PRIVYSEAL_CONFIG" => Some(OsString::from(named)),
                _ => None,
            }
        };
        assert_eq!(search(environment("/nowhere/client.json")), Some(PathBuf::from("/nowhere/client.json")));
        assert_eq!(search(environment("")), Some(at_home.clone()));
        assert_ne!(search(|_| None), Some(at_home));
    }

    #[test]
    fn a_secret_is_one_line() {
        let written = Written::new("secret", "one", "correct horse\r\n", 0o600);
        assert_eq!(read_secret(&written.0.join("one")), Ok(Secret::from("correct horse")));
        for content in ["", "\n", "hunter22\nx", "hunter22\0", "hunter22\r\r\n"] {
            std::fs::write(written.0.join("bad"), content).unwrap();
            let error = read_secret(&written.0.join("bad")).unwrap_err().to_string();
            assert!(!error.contains("hunter"), "{content:?}");
        }
    }

    #[test]
    fn the_auxiliary_vector_tells_who_has_more_rights() {
        let vector =
            |pairs: &[[usize; 2]]| -> Vec<u8> { pairs.iter().flatten().flat_map(|word| word.to_ne_bytes()).collect() };
        assert!(is_secure(&vector(&[[6, 4096], [AT_SECURE, 1], [0, 0]])));
        assert!(!is_secure(&vector(&[[6, AT_SECURE], [AT_SECURE, 0], [0, 0]])));
        assert!(!is_secure(&vector(&[])) && !is_secure(&[23, 0, 0]));
        assert!(!runs_with_more_rights());
    }
}
