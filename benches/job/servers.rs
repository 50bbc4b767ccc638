//! What all contenders talk to: nginx as image host, s3s-fs as S3, and nginx in front of it for TLS.

use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::slice;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::slow::{self, Slow};

pub const BUCKET: &str = "pictures";
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Bytes a second of the slow image host and of the slow S3.
pub const SLOW: u32 = 10_000_000;

/// The pictures that the image host has: path and length in bytes. `/large` is sent in chunks.
pub const SMALL: (&str, u64) = ("/small", 200_000);
pub const KEPT: (&str, u64) = ("/kept", 300_000);
pub const LARGEST_KEPT: (&str, u64) = ("/largest_kept", 1_000_000);
pub const FIVE: (&str, u64) = ("/five", 5 << 20);
pub const LARGE: (&str, u64) = ("/large", 1 << 30);

/// The servers. They end when this is dropped.
pub struct Servers {
    // Dropped in this order.
    _nginx: Server,
    _s3s: Server,
    folder: TempDir,
    plain: SocketAddr,
    tls: SocketAddr,
    s3: SocketAddr,
    s3_tls: SocketAddr,
    /// Slow networks: from the image host, to S3, and to where nginx takes a PUT.
    slow: [SocketAddr; 3],
}

/// How contenders reach image host and S3.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    /// TLS 1.3 to both.
    Tls,
    /// Plain HTTP, and [`SLOW`] both ways.
    Slow,
}

impl Servers {
    /// Starts nginx and s3s-fs with all their files in memory, where the system has a place for it.
    pub fn start(nginx: &Path, s3s: &Path) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let folder = folder.expect("a folder");
        let path = folder.path();
        for name in ["pictures", "s3", "put", "temporary"] {
            fs::create_dir(path.join(name)).expect("a folder");
        }
        fs::create_dir(path.join("s3").join(BUCKET)).expect("a bucket");
        pictures(&path.join("pictures"));
        certificates(path);

        let [plain, tls, s3, s3_tls] = std::array::from_fn(|_| free_port());
        let configuration = include_str!("nginx.conf")
            .replace("@USER@", if rustix::process::geteuid().is_root() { "user root;" } else { "" })
            .replace("@FOLDER@", &path.display().to_string())
            .replace("@S3_TLS@", &s3_tls.to_string())
            .replace("@PLAIN@", &plain.to_string())
            .replace("@TLS@", &tls.to_string())
            .replace("@S3@", &s3.to_string());
        let file = path.join("nginx.conf");
        fs::write(&file, configuration).expect("a file");
        let mut command = Command::new(nginx);
        command.arg("-p").arg(path).args(["-e", "stderr", "-c"]).arg(file);
        let nginx = Server::start(command, path);
        let mut command = Command::new(s3s);
        command
            .args(["--host", "127.0.0.1", "--port", &s3.port().to_string()])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(path.join("s3"))
            .env("RUST_LOG", "error");
        let s3s = Server::start(command, path);
        let slow = [
            slow::network(plain, Slow::Answers, SLOW),
            slow::network(s3, Slow::Requests, SLOW),
            slow::network(plain, Slow::Requests, SLOW),
        ];
        let servers = Self { _nginx: nginx, _s3s: s3s, folder, plain, tls, s3, s3_tls, slow };
        servers.wait();
        servers
    }

    fn wait(&self) {
        for address in [self.plain, self.tls, self.s3, self.s3_tls] {
            for _ in 0..500 {
                if TcpStream::connect(address).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            if TcpStream::connect(address).is_err() {
                let log = fs::read_to_string(self.folder.path().join("log"));
                panic!("nothing listens at {address}: {}", log.unwrap_or_default());
            }
        }
    }

    /// The URL of a picture.
    pub fn picture(&self, way: Way, path: &str) -> String {
        match way {
            Way::Plain => format!("http://{}{path}", self.plain),
            Way::Tls => format!("https://{}{path}", self.tls),
            Way::Slow => format!("http://{}{path}", self.slow[0]),
        }
    }

    /// The endpoint of S3.
    pub fn endpoint(&self, way: Way) -> String {
        match way {
            Way::Plain => format!("http://{}", self.s3),
            Way::Tls => format!("https://{}", self.s3_tls),
            Way::Slow => format!("http://{}", self.slow[1]),
        }
    }

    /// Where nginx takes a PUT without a signature.
    pub fn unsigned(&self, way: Way) -> String {
        match way {
            Way::Plain => format!("http://{}/put/", self.plain),
            Way::Tls => format!("https://{}/put/", self.tls),
            Way::Slow => format!("http://{}/put/", self.slow[2]),
        }
    }

    /// The system's CA certificates and that of the servers, in one file.
    pub fn bundle(&self) -> PathBuf {
        self.folder.path().join("bundle.pem")
    }

    /// A picture as a file.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join("pictures").join(&path[1..])
    }

    /// The settings of the AWS CLI: as for boto3, the checksum is sufficient.
    pub fn aws_config(&self) -> PathBuf {
        self.folder.path().join("aws_config")
    }

    /// An empty file.
    pub fn empty(&self) -> PathBuf {
        self.folder.path().join("empty")
    }

    /// A file with a line for each picture to take: its URL and its name in the bucket.
    pub fn list(&self, url: &str, pictures: u32) -> PathBuf {
        use std::fmt::Write;
        let file = self.folder.path().join("list.csv");
        let mut lines = String::new();
        for picture in 0..pictures {
            writeln!(lines, "{url},{picture}.jpg").expect("a string");
        }
        fs::write(&file, lines).expect("a file");
        file
    }

    /// Removes all objects, of which `expected` must have `length` bytes.
    pub fn take(&self, length: u64, expected: u32) {
        let mut objects = 0;
        let bucket = self.folder.path().join("s3").join(BUCKET);
        for folder in [bucket, self.folder.path().join("put")] {
            objects += count(&folder, length);
            fs::remove_dir_all(&folder).expect("a folder");
            fs::create_dir(&folder).expect("a folder");
        }
        assert_eq!(objects, expected as usize, "objects of {length} bytes");
    }
}

fn count(folder: &Path, length: u64) -> usize {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let count = |entry: fs::DirEntry| match entry.metadata().expect("metadata") {
        metadata if metadata.is_dir() => count(&entry.path(), length),
        metadata => usize::from(metadata.len() == length),
    };
    entries.map(count).sum()
}

/// A process that is asked to end when this is dropped.
struct Server(Child);

impl Server {
    /// Appends its output to the file `log` in the folder.
    fn start(mut command: Command, folder: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(folder.join("log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a file"));
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killed, nginx would leave its workers behind.
        if let Some(id) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

fn pictures(folder: &Path) {
    let mut random = fastrand::Rng::with_seed(1);
    for (path, length) in [SMALL, KEPT, LARGEST_KEPT, FIVE, LARGE] {
        let mut head = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
        head.extend_from_slice(b"\xff\xda\0\x02");
        while head.len() < 100_000 {
            let byte = random.u8(..);
            // As an encoder marks 0xff in its data.
            head.extend_from_slice(if byte == 0xff { b"\xff\0" } else { slice::from_ref(&byte) });
        }
        let file = File::create(folder.join(&path[1..])).expect("a file");
        file.write_all_at(&head, 0).expect("a file");
        file.write_all_at(b"\xff\xd9", length - 2).expect("a file");
    }
    fs::write(folder.join("nothing"), "").expect("a file");
}

/// A CA, and a certificate of RSA 2048 bits, as S3's is.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&key).expect("a certificate");
    // ring signs with RSA, but generates no such key.
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let pem = openssl.output().expect("openssl runs").stdout;
    let server_key = KeyPair::from_pem(&String::from_utf8_lossy(&pem)).expect("a key");
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters");
    let signed = server.signed_by(&server_key, &Issuer::new(authority, key)).expect("signed");
    let system = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt")
        .expect("Debian's bundle of CA certificates, of the package ca-certificates");
    for (name, text) in [
        ("bundle.pem", system + &certificate.pem()),
        ("server.pem", signed.pem()),
        ("server.key", server_key.serialize_pem()),
        ("aws_config", "[default]\ns3 =\n  payload_signing_enabled = false\n".to_owned()),
        ("empty", String::new()),
    ] {
        fs::write(folder.join(name), text).expect("a file");
    }
}
