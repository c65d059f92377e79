//! A headless Chromium by the WebDriver protocol: JSON over HTTP to chromedriver.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{PATIENCE, Program};
use crate::support;

/// A browser with one window; ends when dropped.
pub struct Browser {
    driver: SocketAddr,
    session: String,
    profile: PathBuf,
    _program: Program,
}

impl Browser {
    /// Starts one; `None` where there is none, which is said.
    pub fn start() -> Option<Self> {
        for tool in ["chromium", "chromedriver"] {
            if !Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success()) {
                support::missing(&format!("{tool} is not installed"));
                return None;
            }
        }
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--log-level=SEVERE"]);
        let program = Program::spawn(command);
        let port = program.after("ChromeDriver was started successfully on port ");
        let port: u16 = port.trim_end_matches('.').parse().unwrap();
        let driver = SocketAddr::from(([127, 0, 0, 1], port));
        let profile = std::env::temp_dir().join(format!("rover-web-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&profile).unwrap();

        let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!("--user-data-dir={}", profile.display()));
        let always = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let mut browser = Self { driver, session: String::new(), profile, _program: program };
        let wish = json!({ "capabilities": { "alwaysMatch": always } });
        let made = browser.call("POST", "/session", &wish);
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    /// Opens a page.
    pub fn open(&self, url: &str) {
        self.ask("POST", "url", &json!({ "url": url }));
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.ask("POST", "execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script returns true.
    pub fn wait(&self, script: &str) {
        let until = Instant::now() + PATIENCE;
        while self.run(script) != true {
            let page = || self.run("return document.body.innerText");
            assert!(Instant::now() < until, "never {script}\n{}\n{:?}", page(), self.log());
            std::thread::sleep(POLL);
        }
    }

    /// Types into an element, as a person does.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.ask("POST", &format!("element/{element}/value"), &json!({ "text": text }));
    }

    /// Clicks on an element.
    pub fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.ask("POST", &format!("element/{element}/click"), &json!({}));
    }

    /// What the browser's console has had since it was last asked.
    pub fn log(&self) -> Vec<String> {
        let log = self.ask("POST", "se/log", &json!({ "type": "browser" }));
        let message = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        log.as_array().map(|entries| entries.iter().map(message).collect()).unwrap_or_default()
    }

    fn find(&self, selector: &str) -> String {
        let wish = json!({ "using": "css selector", "value": selector });
        let found = self.ask("POST", "element", &wish);
        let id = found.as_object().and_then(|o| o.values().next()).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("no {selector}")).to_owned()
    }

    fn ask(&self, method: &str, command: &str, body: &Value) -> Value {
        self.call(method, &format!("/session/{}/{command}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = http(self.driver, method, path, &body.to_string()).unwrap();
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killing chromedriver alone would leave the browser behind.
        let _ = http(self.driver, "DELETE", &format!("/session/{}", self.session), "{}");
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// One call, without a client of its own: it must also work while a panic unwinds.
pub fn http(to: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    // Not until the end: chromedriver keeps the connection open whatever it is told.
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    String::from_utf8(body).map_err(std::io::Error::other)
}

const POLL: Duration = Duration::from_millis(50);

/// Nothing may leave the machine: no updates, no name look-ups, no mDNS for candidates.
const FLAGS: [&str; 15] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints,Translate",
    "--allow-loopback-in-peer-connection",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];
