// weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
//! Resumable Server-Sent Events, by libweir.
//!
//! ```ignore
//! let hub = weir::Hub::new()?;
//! let answer = hub.open("answers/7")?;
//! answer.publish("Hello", "token", 0)?;
//!
//! let response = hub.attach("answers/7", &Client { last_event_id, ..Default::default() })?;
//! // send response.head, then, where there is a response.subscriber, what it
//! // reads: Ok(0) is the end, WouldBlock is "nothing now" until a notice says
//! // READABLE
//! ```
//!
//! Nothing here touches a socket or starts a thread. After `hub.timeout()`, and
//! after every call, `hub.notices()` says what has to be done. Options have the
//! names that they have in `<weir/hub.h>`.
//!
//! A hub and its handles stay on one thread, which the compiler sees to. Handles
//! are released when dropped, before the hub or after it.

use std::ffi::CStr;
use std::io;
use std::marker::PhantomData;
use std::mem::{size_of, MaybeUninit};
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::{addr_of, null, null_mut};
use std::time::Duration;

// --- The C interface --------------------------------------------------------
// `interface()` says what is declared here, in the words of the listing that
// test.rs compares it with.

macro_rules! constants {
    ($($name:ident = $value:expr,)*) => {
        $(pub const $name: i32 = $value;)*

        fn constants() -> Vec<String> {
            vec![$(format!("value WEIR_{} {}", stringify!($name), $name)),*]
        }
    };
}

macro_rules! structs {
    ($($name:ident { $($vis:vis $field:ident: $type:ty,)* })*) => {
        $(
            #[allow(non_camel_case_types)]
            #[repr(C)]
            pub struct $name {
                $($vis $field: $type,)*
            }
        )*

        fn structs() -> Vec<String> {
            let mut lines = Vec::new();
            $(
                let name = stringify!($name);
                lines.push(format!("size {} {}", name, size_of::<$name>()));
                let place = MaybeUninit::<$name>::uninit();
                let at = place.as_ptr();
                $(
                    let field = unsafe { addr_of!((*at).$field) };
                    lines.push(format!(
                        "field {} {} {} {} {}",
                        name,
                        stringify!($field).trim_start_matches("r#"),
                        field as usize - at as usize,
                        size_of::<$type>(),
                        word(stringify!($type))
                    ));
                )*
            )*
            lines
        }
    };
}

macro_rules! calls {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        #[link(name = "weir")]
        extern "C" {
            $(fn $name($($arg: $type),*) $(-> $result)?;)*
        }

        fn calls() -> Vec<String> {
            vec![$({
                let result = [$(stringify!($result),)? "void"][0];
                let mut line = format!("call {} {}", stringify!($name), word(result));
                for arg in [$(stringify!($type)),*] as [&str; count!($($arg)*)] {
                    line.push(' ');
                    line.push_str(word(arg));
                }
                line
            }),*]
        }
    };
}

macro_rules! count {
    () => { 0 };
    ($first:ident $($rest:ident)*) => { 1 + count!($($rest)*) };
}

fn word(of: &str) -> &str {
    match of.trim_start_matches('[').split(';').next().unwrap().trim() {
        "c_int" => "int",
        "i32" => "int32",
        "u32" => "uint32",
        "u64" => "uint64",
        "usize" => "size",
        pointer if pointer.starts_with('*') => "pointer",
        other => other,
    }
}

/// What this file declares, one line each.
pub fn interface() -> Vec<String> {
    [constants(), structs(), calls()].concat()
}

constants! {
    // Error.0
    ENOMEM = -1, EINVAL = -2, ENOSPACE = -3, EOVERFLOW = -4, EAGAIN = -5,
    EDONE = -6, EBUSY = -7, EGONE = -8, ENOENT = -9, EEXISTS = -10,
    EENDED = -11, EFENCED = -12, EMALFORMED = -13, EABSENT = -14,
    EDRAINING = -15, ELOG = -16, EUNKNOWN = -17, ESTALE = -18, EENTROPY = -19,
    ESTREAMS = -20, ESUBSCRIBERS = -21, ECROWD = -22, ECLIENT = -23,
    ETOOBIG = -24, ERESIDENT = -25, EPENDING = -26, EUTF8 = -27, EJSON = -28,
    ERESERVED = -29, ESTALLED = -30, EIO = -31, EFULL = -32, ELOCKED = -33,
    EFORMAT = -34, EACCESS = -35,
    // Notice.kind, of a Subscriber, of a Stream; Notice.timer
    NOTICE_READABLE = 2, NOTICE_CLOSING = 3, NOTICE_ABORT = 4,
    NOTICE_EXPIRED = 18, NOTICE_ABANDONED = 19, NOTICE_CANCELLED = 20,
    NOTICE_ENDED = 21,
    TIMER_FIRST_EVENT = 1, TIMER_IDLE = 2, TIMER_LIFETIME = 3,
    // Options: on_duplicate of open, of attach; start; on_idle and its kin; flags
    DUPLICATE_JOIN = 0, DUPLICATE_REPLACE = 1, DUPLICATE_REJECT = 2,
    CLIENT_REPLACE = 0, CLIENT_ALLOW = 1, CLIENT_REJECT = 2,
    FROM_START = 0, FROM_HEAD = 1,
    ACTION_NOTICE = 0, ACTION_END = 1, ACTION_FAIL = 2,
    OPEN_EXISTING = 1, OPEN_UNENDED = 2, OPEN_ENVELOPE = 8, OPEN_LOOK = 16,
    ATTACH_PING = 1, ATTACH_STRICT = 2, EVENT_JSON = 1,
    STREAM_ID_MAX = 765,
}

structs! {
    weir_hub_options {
        size: usize,
        allocator: *const c_void,
        clock: *const c_void,
        clock_user: *mut c_void,
        entropy: *const c_void,
        entropy_user: *mut c_void,
        log: *const c_void,
        notify: *const c_void,
        notify_user: *mut c_void,
        wake: *const c_void,
        wake_user: *mut c_void,
        trace: *const c_void,
        trace_user: *mut c_void,
        prefix: *const c_char,
        prefix_len: usize,
        pub cursor_format: i32,
        pub flags: u32,
        pub max_streams: u64,
        pub max_subscribers: u64,
        pub max_stream_subscribers: u64,
        pub max_client_subscribers: u64,
        pub max_event_bytes: u64,
        pub max_event_lines: u64,
        pub max_pending: u64,
        pub max_resident: u64,
        pub history_bytes: u64,
        pub history_events: u64,
        pub history_age: u64,
        pub signal_ring: u32,
        pub recheck: u32,
        reserved: [u64; 8],
    }
    weir_open_options {
        size: usize,
        key: *const c_void,
        key_len: usize,
        user: *mut c_void,
        pub on_duplicate: i32,
        pub flags: u32,
        prefix: *const c_char,
        prefix_len: usize,
        members: *const c_char,
        members_len: usize,
        pub first_event: u64,
        pub idle: u64,
        pub lifetime: u64,
        pub abandoned: u64,
        pub linger: u64,
        pub on_first_event: i32,
        pub on_idle: i32,
        pub on_lifetime: i32,
        pub on_abandoned: i32,
        pub label: u64,
        reserved: [u64; 7],
    }
    weir_request {
        size: usize,
        header: *const c_void,
        header_len: usize,
        query: *const c_void,
        query_len: usize,
        path: *const c_void,
        path_len: usize,
        reserved: [u64; 2],
    }
    weir_attach_options {
        size: usize,
        key: *const c_void,
        key_len: usize,
        user: *mut c_void,
        request: *const weir_request,
        pub start: i32,
        pub flags: u32,
        client: *const c_void,
        client_len: usize,
        pub on_duplicate: i32,
        reserved0: u32,
        pub heartbeat: u32,
        pub heartbeat_jitter: u32,
        pub stall: u32,
        pub retry: u32,
        pub retry_jitter: u32,
        pub retry_replaced: u32,
        pub lifetime: u64,
        pub lifetime_jitter: u64,
        reserved: [u64; 8],
    }
    weir_event {
        size: usize,
        r#type: *const c_void,
        type_len: usize,
        data: *const c_void,
        data_len: usize,
        tag: u64,
        flags: u32,
        reserved0: u32,
        reserved: [u64; 2],
    }
    weir_notice {
        size: usize,
        kind: i32,
        error: i32,
        user: *mut c_void,
        subscriber: *mut c_void,
        stream: *mut c_void,
        tag: u64,
        seq: u64,
        verdict: i32,
        timer: i32,
        retry: u32,
        reserved0: u32,
        reserved: [u64; 1],
    }
    weir_response {
        size: usize,
        status: i32,
        stream: u32,
        verdict: i32,
        error: i32,
        retry: u32,
        reserved0: u32,
        key: *const c_void,
        key_len: usize,
        options: *const c_void,
        reserved: [u64; 2],
    }
    weir_field {
        name: *const c_char,
        name_len: usize,
        value: *const c_char,
        value_len: usize,
    }
}

calls! {
    fn weir_version() -> *const c_char;
    fn weir_strerror(error: c_int) -> *const c_char;
    fn weir_verdict_name(verdict: c_int) -> *const c_char;
    fn weir_hub_options_init(options: *mut weir_hub_options, size: usize);
    fn weir_hub_new(options: *const weir_hub_options, hub: *mut *mut c_void) -> c_int;
    fn weir_hub_free(hub: *mut c_void);
    fn weir_hub_get_timeout(hub: *mut c_void) -> c_int;
    fn weir_hub_next(hub: *mut c_void, notice: *mut weir_notice) -> c_int;
    fn weir_hub_drain(hub: *mut c_void, over: u64, retry: u32) -> c_int;
    fn weir_open_options_init(options: *mut weir_open_options, size: usize);
    fn weir_hub_open(
        hub: *mut c_void,
        options: *const weir_open_options,
        stream: *mut *mut c_void
    ) -> c_int;
    fn weir_event_init(event: *mut weir_event, size: usize);
    fn weir_stream_publish(
        stream: *mut c_void,
        events: *const weir_event,
        count: usize,
        last: *mut u64
    ) -> c_int;
    fn weir_stream_signal(
        stream: *mut c_void,
        signal: *const weir_event,
        reached: *mut u64
    ) -> c_int;
    fn weir_stream_end(
        stream: *mut c_void,
        reason: *const c_void,
        reason_len: usize,
        tag: u64,
        seq: *mut u64
    ) -> c_int;
    fn weir_stream_fail(
        stream: *mut c_void,
        code: *const c_void,
        code_len: usize,
        message: *const c_void,
        message_len: usize,
        tag: u64,
        seq: *mut u64
    ) -> c_int;
    fn weir_stream_cancel(
        stream: *mut c_void,
        reason: *const c_void,
        reason_len: usize
    ) -> c_int;
    fn weir_stream_release(stream: *mut c_void);
    fn weir_request_init(request: *mut weir_request, size: usize);
    fn weir_attach_options_init(options: *mut weir_attach_options, size: usize);
    fn weir_http_attach(
        hub: *mut c_void,
        attach: *const weir_attach_options,
        options: *const c_void,
        subscriber: *mut *mut c_void,
        response: *mut weir_response
    ) -> c_int;
    fn weir_http_write_head(
        response: *const weir_response,
        dst: *mut c_void,
        cap: usize,
        len: *mut usize
    ) -> c_int;
    fn weir_http_write_body(
        response: *const weir_response,
        dst: *mut c_void,
        cap: usize,
        len: *mut usize
    ) -> c_int;
    fn weir_http_get_field(
        response: *const weir_response,
        index: usize,
        dst: *mut c_void,
        cap: usize,
        field: *mut weir_field
    ) -> c_int;
    fn weir_subscriber_read(
        subscriber: *mut c_void,
        dst: *mut c_void,
        cap: usize,
        len: *mut usize
    ) -> c_int;
    fn weir_subscriber_close(
        subscriber: *mut c_void,
        reason: *const c_void,
        reason_len: usize,
        retry: u32
    ) -> c_int;
    fn weir_subscriber_release(subscriber: *mut c_void);
}

// --- The module --------------------------------------------------------------

/// A call has failed: the number says why, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error(pub i32);

impl std::fmt::Display for Error {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        to.write_str(said(unsafe { weir_strerror(self.0) }))
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

pub fn version() -> &'static str {
    said(unsafe { weir_version() })
}

/// A static string of the library's.
fn said(text: *const c_char) -> &'static str {
    unsafe { CStr::from_ptr(text) }.to_str().unwrap()
}

fn check(result: c_int) -> Result<()> {
    if result < 0 {
        Err(Error(result))
    } else {
        Ok(())
    }
}

/// What an init function makes of its struct: all of it, so it is whole.
fn make<T>(init: unsafe extern "C" fn(*mut T, usize)) -> T {
    let mut value = MaybeUninit::uninit();
    unsafe {
        init(value.as_mut_ptr(), size_of::<T>());
        value.assume_init()
    }
}

/// A struct of zeros and its size, for the library to fill in.
fn empty<T>() -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    unsafe {
        *value.as_mut_ptr().cast() = size_of::<T>();
        value.assume_init()
    }
}

fn base(bytes: &[u8]) -> *const c_void {
    bytes.as_ptr().cast()
}

/// Which handle a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(usize);

/// The producer's end of a stream. To drop it does not end the stream.
pub struct Stream(*mut c_void);

impl Stream {
    pub fn id(&self) -> Id {
        Id(self.0 as usize)
    }

    /// Publish an event; its number.
    pub fn publish(&self, data: impl AsRef<[u8]>, kind: &str, flags: i32) -> Result<u64> {
        let mut seq = 0;
        let event = event(data.as_ref(), kind, flags);
        check(unsafe { weir_stream_publish(self.0, &event, 1, &mut seq) })?;
        Ok(seq)
    }

    /// Tell those who are connected now; how many they are.
    pub fn signal(&self, data: impl AsRef<[u8]>, kind: &str, flags: i32) -> Result<u64> {
        let mut reached = 0;
        let event = event(data.as_ref(), kind, flags);
        check(unsafe { weir_stream_signal(self.0, &event, &mut reached) })?;
        Ok(reached)
    }

    /// End the stream; the number of its end, as of every event.
    pub fn end(&self, reason: &str) -> Result<u64> {
        let mut seq = 0;
        check(unsafe {
            weir_stream_end(self.0, base(reason.as_bytes()), reason.len(), 0, &mut seq)
        })?;
        Ok(seq)
    }

    /// End it by failing. Clients see both texts.
    pub fn fail(&self, code: &str, message: &str) -> Result<u64> {
        let mut seq = 0;
        check(unsafe {
            weir_stream_fail(
                self.0,
                base(code.as_bytes()),
                code.len(),
                base(message.as_bytes()),
                message.len(),
                0,
                &mut seq,
            )
        })?;
        Ok(seq)
    }

    /// Ask the producer to stop, and end the stream.
    pub fn cancel(&self, reason: &str) -> Result<()> {
        let reason = reason.as_bytes();
        check(unsafe { weir_stream_cancel(self.0, base(reason), reason.len()) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        unsafe { weir_stream_release(self.0) }
    }
}

fn event(data: &[u8], kind: &str, flags: i32) -> weir_event {
    let mut event = make(weir_event_init);
    event.r#type = base(kind.as_bytes());
    event.type_len = kind.len();
    event.data = base(data);
    event.data_len = data.len();
    event.flags = flags as u32;
    event
}

/// The milliseconds of a time, or as many as C can hold.
fn millis(time: Duration) -> u32 {
    time.as_millis().try_into().unwrap_or(u32::MAX)
}

/// A client's connection. To drop it leaves the stream. It reads as a socket
/// does that does not block.
pub struct Subscriber(*mut c_void);

impl Subscriber {
    pub fn id(&self) -> Id {
        Id(self.0 as usize)
    }

    /// Ask the client to go, and to come back after so long (zero: as its
    /// attach says): a last frame, then the end.
    pub fn dismiss(&self, reason: &str, retry: Duration) -> Result<()> {
        let reason = reason.as_bytes();
        check(unsafe { weir_subscriber_close(self.0, base(reason), reason.len(), millis(retry)) })
    }
}

impl io::Read for Subscriber {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let mut len = 0;
        match unsafe {
            weir_subscriber_read(self.0, into.as_mut_ptr().cast(), into.len(), &mut len)
        } {
            EDONE => Ok(0),
            EAGAIN => Err(io::ErrorKind::WouldBlock.into()),
            error if error < 0 => Err(io::Error::new(io::ErrorKind::Other, Error(error))),
            _ => Ok(len),
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        unsafe { weir_subscriber_release(self.0) }
    }
}

/// What a client's request says.
#[derive(Default)]
pub struct Client<'a> {
    /// The value of the header, or nothing.
    pub last_event_id: &'a str,
    /// What follows `?` in the target.
    pub query: &'a str,
    /// Names the client among those of the stream.
    pub name: &'a str,
}

/// The answer to a client.
pub struct Response {
    pub status: i32,
    /// What became of its cursor, in a word.
    pub verdict: &'static str,
    pub fields: Vec<(String, String)>,
    /// Status and fields as HTTP/1.1.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    /// Its bytes follow, unless there is none.
    pub subscriber: Option<Subscriber>,
}

type Write = unsafe extern "C" fn(*const weir_response, *mut c_void, usize, *mut usize) -> c_int;

/// What a call writes that tells the length it needs.
fn whole(write: Write, response: &weir_response) -> Result<Vec<u8>> {
    let mut len = 0;
    let mut room = Vec::new();
    let mut result = unsafe { write(response, null_mut(), 0, &mut len) };
    if result == ENOSPACE {
        room.resize(len, 0);
        result = unsafe { write(response, room.as_mut_ptr().cast(), len, &mut len) };
    }
    check(result)?;
    Ok(room)
}

fn fields(response: &weir_response) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut space = [0u8; STREAM_ID_MAX as usize + 1]; // and a NUL
    let mut field = weir_field {
        name: null(),
        name_len: 0,
        value: null(),
        value_len: 0,
    };
    let text = |at: *const c_char, len| {
        let bytes = unsafe { std::slice::from_raw_parts(at.cast(), len) };
        String::from_utf8_lossy(bytes).into_owned()
    };
    while unsafe {
        weir_http_get_field(
            response,
            fields.len(),
            space.as_mut_ptr().cast(),
            space.len(),
            &mut field,
        )
    } == 0
    {
        fields.push((
            text(field.name, field.name_len),
            text(field.value, field.value_len),
        ));
    }
    fields
}

/// What the hub has to say of a Stream or a Subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// NOTICE_...
    pub kind: i32,
    pub source: Id,
    /// These as `<weir/hub.h>` says.
    pub error: i32,
    pub seq: u64,
    pub timer: i32,
}

/// The registry of streams.
pub struct Hub(*mut c_void);

impl Hub {
    pub fn new() -> Result<Hub> {
        Hub::with(|_| ())
    }

    pub fn with(set: impl FnOnce(&mut weir_hub_options)) -> Result<Hub> {
        let mut options = make(weir_hub_options_init);
        set(&mut options);
        let mut hub = null_mut();
        check(unsafe { weir_hub_new(&options, &mut hub) })?;
        Ok(Hub(hub))
    }

    /// Open a stream for writing: begin it, or join it.
    pub fn open(&self, key: &str) -> Result<Stream> {
        self.open_with(key, |_| ())
    }

    pub fn open_with(&self, key: &str, set: impl FnOnce(&mut weir_open_options)) -> Result<Stream> {
        let mut options = make(weir_open_options_init);
        set(&mut options);
        options.key = base(key.as_bytes());
        options.key_len = key.len();
        let mut stream = null_mut();
        check(unsafe { weir_hub_open(self.0, &options, &mut stream) })?;
        Ok(Stream(stream))
    }

    /// Attach a client, and say what to answer it.
    pub fn attach(&self, key: &str, client: &Client) -> Result<Response> {
        self.attach_with(key, client, |_| ())
    }

    pub fn attach_with(
        &self,
        key: &str,
        client: &Client,
        set: impl FnOnce(&mut weir_attach_options),
    ) -> Result<Response> {
        let mut request = make(weir_request_init);
        request.header = base(client.last_event_id.as_bytes());
        request.header_len = client.last_event_id.len();
        request.query = base(client.query.as_bytes());
        request.query_len = client.query.len();
        let mut attach = make(weir_attach_options_init);
        set(&mut attach);
        attach.key = base(key.as_bytes());
        attach.key_len = key.len();
        attach.client = base(client.name.as_bytes());
        attach.client_len = client.name.len();
        attach.request = &request;
        let mut response: weir_response = empty();
        let mut subscriber = null_mut();
        check(unsafe {
            weir_http_attach(self.0, &attach, null(), &mut subscriber, &mut response)
        })?;
        let subscriber = if subscriber.is_null() {
            None
        } else {
            Some(Subscriber(subscriber))
        };
        // The response points to the key: all is made of it here.
        Ok(Response {
            status: response.status,
            verdict: said(unsafe { weir_verdict_name(response.verdict) }),
            fields: fields(&response),
            head: whole(weir_http_write_head, &response)?,
            body: if response.stream == 1 {
                Vec::new()
            } else {
                whole(weir_http_write_body, &response)?
            },
            subscriber,
        })
    }

    /// The notices that wait. Between them everything may be called.
    pub fn notices(&self) -> Notices<'_> {
        Notices(self.0, PhantomData)
    }

    /// How long until notices() is to be asked again; None is for ever.
    pub fn timeout(&self) -> Option<Duration> {
        match unsafe { weir_hub_get_timeout(self.0) } {
            wait if wait < 0 => None,
            wait => Some(Duration::from_millis(wait as u64)),
        }
    }

    /// Take nobody in, and tell all to go in the time given, and to come back
    /// after so long.
    pub fn drain(&self, over: Duration, retry: Duration) -> Result<()> {
        check(unsafe { weir_hub_drain(self.0, millis(over).into(), millis(retry)) })
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        unsafe { weir_hub_free(self.0) }
    }
}

/// The notices of a hub, until there is none.
pub struct Notices<'a>(*mut c_void, PhantomData<&'a Hub>);

impl Iterator for Notices<'_> {
    type Item = Notice;

    fn next(&mut self) -> Option<Notice> {
        let mut notice: weir_notice = empty();
        let result = unsafe { weir_hub_next(self.0, &mut notice) };
        if result == EAGAIN {
            return None;
        }
        assert_eq!(result, 0, "{}", Error(result));
        let handle = if notice.stream.is_null() {
            notice.subscriber
        } else {
            notice.stream
        };
        Some(Notice {
            kind: notice.kind,
            source: Id(handle as usize),
            error: notice.error,
            seq: notice.seq,
            timer: notice.timer,
        })
    }
}
