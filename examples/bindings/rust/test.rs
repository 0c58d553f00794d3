// weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
//! The scenario that every binding passes; see ../README.md.

use std::io::{ErrorKind, Read};
use std::time::Duration;
use weir::{Client, Error, Hub, Subscriber};

/// A frame as a client reads it: id, type, data.
type Frame = (String, String, String);

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut all: Vec<Frame> = Vec::new();
    for frame in text.split_terminator("\n\n") {
        let (mut id, mut kind) = ("", "message");
        let mut data = Vec::new();
        for line in frame.split('\n') {
            match line.split_once(": ").unwrap() {
                ("id", value) => id = value,
                ("event", value) => kind = value,
                ("data", value) => data.push(value),
                (name, _) => assert_eq!(name, "retry"),
            }
        }
        all.push((id.into(), kind.into(), data.join("\n")));
    }
    all
}

fn types(bytes: &[u8]) -> Vec<String> {
    frames(bytes).into_iter().map(|frame| frame.1).collect()
}

fn texts(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.2.as_str()).collect()
}

/// All there is to read now, and whether that is the end.
fn read(subscriber: &mut Subscriber) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    match subscriber.read_to_end(&mut bytes) {
        Ok(_) => (bytes, true),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            (bytes, false)
        }
    }
}

fn hub() -> Hub {
    Hub::with(|options| options.history_events = 4).unwrap()
}

/// Attach a client: its verdict, its connection, and all that it reads.
fn attach(hub: &Hub, key: &str, client: &Client) -> (&'static str, Subscriber, Vec<u8>) {
    let response = hub.attach(key, client).unwrap();
    let mut subscriber = response.subscriber.unwrap();
    let bytes = read(&mut subscriber).0;
    (response.verdict, subscriber, bytes)
}

fn nobody() -> Client<'static> {
    Client::default()
}

#[test]
fn it_agrees_with_the_headers() {
    let listing = std::fs::read_to_string(std::env::var("WEIR_ABI").unwrap()).unwrap();
    let listing: Vec<&str> = listing.lines().collect();
    let ours = weir::interface();
    for line in &ours {
        assert!(
            listing.contains(&line.as_str()),
            "not in the headers: {}",
            line
        );
    }
    // Nor has a struct of ours fewer fields than it should.
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    for struct_line in ours.iter().filter(|line| line.starts_with("size ")) {
        let field = format!("field {} ", struct_line.split(' ').nth(1).unwrap());
        let count = |lines: &[&str]| lines.iter().filter(|line| line.starts_with(&field)).count();
        assert_eq!(count(&ours), count(&listing), "{}", field);
    }
    let version = format!("version {}", weir::version());
    assert!(listing.contains(&version.as_str()));
}

#[test]
fn publish() {
    let hub = hub();
    let stream = hub.open("a/1").unwrap();
    assert_eq!(stream.publish("Hello", "token", 0), Ok(1));
    let response = hub.attach("a/1", &nobody()).unwrap();
    assert_eq!((response.status, response.verdict), (200, "fresh"));
    assert!(response.head.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(response
        .fields
        .contains(&("X-Stream-Id".into(), "a/1".into())));
    let mut subscriber = response.subscriber.unwrap();
    let (bytes, ended) = read(&mut subscriber);
    assert_eq!(types(&bytes), ["weir.ready", "token"]);
    assert!(!ended);
    assert_eq!(hub.notices().count(), 0);

    let text = "two\nlines and an \u{fc}mlaut";
    assert_eq!(stream.publish(text, "", 0), Ok(2));
    assert_eq!(stream.signal("{}", "typing", weir::EVENT_JSON), Ok(1));
    let notices: Vec<_> = hub.notices().collect();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].kind, weir::NOTICE_READABLE);
    assert_eq!(notices[0].source, subscriber.id());
    let read = frames(&read(&mut subscriber).0);
    assert_eq!((&*read[0].1, &*read[0].2), ("message", text));
    assert_eq!(read[1], ("".into(), "typing".into(), "{}".into()));
}

#[test]
fn the_longest_key() {
    let hub = hub();
    let key = "\u{6f22}".repeat(85);
    let _stream = hub.open(&key).unwrap();
    let fields = hub.attach(&key, &nobody()).unwrap().fields;
    let id = ("X-Stream-Id".into(), "%E6%BC%A2".repeat(85));
    assert!(fields.contains(&id));
    assert!(fields.contains(&("Connection".into(), "close".into())));
}

#[test]
fn drop_and_resume() {
    let hub = hub();
    let stream = hub.open("a/1").unwrap();
    for word in ["one", "two", "three"] {
        stream.publish(word, "", 0).unwrap();
    }
    let (_, subscriber, bytes) = attach(&hub, "a/1", &nobody());
    let seen = &frames(&bytes)[2].0; // the third event is lost on the way
    drop(subscriber);
    stream.publish("four", "", 0).unwrap();

    let again = Client {
        last_event_id: seen,
        ..nobody()
    };
    let (verdict, _, bytes) = attach(&hub, "a/1", &again);
    assert_eq!(verdict, "resumed");
    let all = frames(&bytes);
    assert_eq!(&all[0].0, seen);
    assert_eq!(texts(&all[1..]), ["three", "four"]);
    let query = format!("lastEventId={}", seen);
    let (verdict, _, _) = attach(
        &hub,
        "a/1",
        &Client {
            query: &query,
            ..nobody()
        },
    );
    assert_eq!(verdict, "resumed");
}

#[test]
fn gap() {
    let hub = hub();
    let stream = hub.open("a/1").unwrap();
    stream.publish("1", "", 0).unwrap();
    let first = &frames(&attach(&hub, "a/1", &nobody()).2)[1].0;
    for i in 2..8 {
        stream.publish(i.to_string(), "", 0).unwrap();
    }
    for (cursor, expected) in [
        (&**first, "evicted"),
        ("b-1", "foreign"),
        ("?", "malformed"),
    ] {
        let client = Client {
            last_event_id: cursor,
            ..nobody()
        };
        let (verdict, _, bytes) = attach(&hub, "a/1", &client);
        assert_eq!(verdict, expected);
        let all = frames(&bytes);
        assert_eq!((&*all[0].1, &*all[1].1), ("weir.gap", "weir.ready"));
        assert_eq!(all[0].0, all[1].0);
        assert_eq!(texts(&all[2..]), ["4", "5", "6", "7"]);
    }
}

#[test]
fn replace() {
    let hub = hub();
    let old = hub.open("a/1").unwrap();
    let tab = Client {
        name: "tab",
        ..nobody()
    };
    let (_, mut older, _) = attach(&hub, "a/1", &tab);
    // A client that comes twice: the older connection is told to go.
    let (_, mut newer, _) = attach(&hub, "a/1", &tab);
    let told: Vec<_> = hub
        .notices()
        .map(|notice| (notice.kind, notice.source))
        .collect();
    assert_eq!(told, [(weir::NOTICE_CLOSING, older.id())]);
    let (bytes, ended) = read(&mut older);
    assert_eq!(types(&bytes), ["weir.closing"]);
    assert!(ended);

    let replacing = hub
        .open_with("a/1", |options| {
            options.on_duplicate = weir::DUPLICATE_REPLACE
        })
        .unwrap();
    let kinds: Vec<_> = hub
        .notices()
        .filter(|notice| notice.source == old.id())
        .map(|notice| notice.kind)
        .collect();
    assert_eq!(kinds, [weir::NOTICE_CANCELLED, weir::NOTICE_ENDED]);
    let (bytes, ended) = read(&mut newer);
    assert_eq!(types(&bytes), ["weir.done"]);
    assert!(frames(&bytes)[0].2.contains("replaced_by_new_stream"));
    assert!(ended);
    assert_eq!(old.publish("late", "", 0), Err(Error(weir::EENDED)));
    assert_eq!(replacing.publish("first", "", 0), Ok(1));
    let rejected = hub.open_with("a/1", |options| {
        options.on_duplicate = weir::DUPLICATE_REJECT
    });
    assert_eq!(rejected.err(), Some(Error(weir::EEXISTS)));
}

#[test]
fn end() {
    let hub = hub();
    let stream = hub.open("a/1").unwrap();
    stream.publish("last", "", 0).unwrap();
    assert_eq!(stream.end("done"), Ok(2));
    let mut response = hub.attach("a/1", &nobody()).unwrap();
    let (bytes, ended) = read(response.subscriber.as_mut().unwrap());
    assert_eq!(types(&bytes), ["weir.ready", "message", "weir.done"]);
    assert!(ended);
    let last_event_id = &*frames(&bytes)[2].0;
    let response = hub
        .attach(
            "a/1",
            &Client {
                last_event_id,
                ..nobody()
            },
        )
        .unwrap();
    assert_eq!((response.status, response.verdict), (204, "finished"));
    assert!(response.subscriber.is_none());
    assert!(response.head.starts_with(b"HTTP/1.1 204 "));

    let stream = hub.open("a/2").unwrap();
    stream.fail("overloaded", "Try again later.").unwrap();
    let (_, _, bytes) = attach(&hub, "a/2", &nobody());
    assert_eq!(types(&bytes), ["weir.ready", "weir.failed"]);
}

#[test]
fn shown_out() {
    let hub = hub();
    let stream = hub.open("a/1").unwrap();
    let (_, mut subscriber, _) = attach(&hub, "a/1", &nobody());
    subscriber.dismiss("moved", Duration::from_secs(5)).unwrap();
    let (bytes, ended) = read(&mut subscriber);
    assert_eq!(types(&bytes), ["weir.closing"]);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(r#""reason":"moved""#));
    assert!(text.contains("retry: 5"));
    assert!(ended);

    let (_, mut subscriber, _) = attach(&hub, "a/1", &nobody());
    stream.cancel("stopped").unwrap();
    let text = String::from_utf8(read(&mut subscriber).0).unwrap();
    assert!(text.contains(r#""reason":"stopped""#));
}

#[test]
fn refusals() {
    let hub = hub();
    assert_eq!(hub.attach("a/1", &nobody()).unwrap().status, 404);
    let stream = hub.open("a/1").unwrap();
    let reserved = stream.publish("x", "open", 0).unwrap_err();
    assert_eq!(reserved, Error(weir::ERESERVED));
    assert!(!reserved.to_string().is_empty());
    assert_eq!(stream.publish(b"\xff", "", 0), Err(Error(weir::EUTF8)));
    assert_eq!(hub.open("").err(), Some(Error(weir::EINVAL)));

    let (_, subscriber, _) = attach(&hub, "a/1", &nobody());
    let long = Duration::from_millis((1 << 32) + 2000);
    assert_eq!(subscriber.dismiss("x", long), Err(Error(weir::EINVAL)));
    assert_eq!(hub.drain(long, long), Err(Error(weir::EINVAL)));

    hub.drain(Duration::ZERO, Duration::from_secs(7)).unwrap();
    let response = hub.attach("a/1", &nobody()).unwrap();
    assert_eq!(response.status, 200);
    assert!(response.subscriber.is_none());
    assert_eq!(types(&response.body), ["weir.closing"]);
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("retry: 7"));
}

#[test]
fn time() {
    let hub = hub();
    assert_eq!(hub.timeout(), None);
    let stream = hub
        .open_with("a/1", |options| {
            options.first_event = 1;
            options.on_first_event = weir::ACTION_FAIL;
        })
        .unwrap();
    let mut told = Vec::new();
    while told.is_empty() {
        std::thread::sleep(hub.timeout().unwrap());
        told.extend(hub.notices());
    }
    assert_eq!(told[0].source, stream.id());
    assert_eq!(told[0].kind, weir::NOTICE_EXPIRED);
    assert_eq!(told[0].timer, weir::TIMER_FIRST_EVENT);
    assert_eq!((told[1].kind, told[1].seq), (weir::NOTICE_ENDED, 1));
}

#[test]
fn handles_outlive_the_hub() {
    let hub = hub();
    let stream = hub.open("a/1").unwrap();
    let (_, mut subscriber, _) = attach(&hub, "a/1", &nobody());
    drop(hub);
    assert_eq!(stream.publish("x", "", 0), Err(Error(weir::EGONE)));
    let error = subscriber.read(&mut [0; 8]).unwrap_err();
    let gone = error.into_inner().unwrap().downcast::<Error>().unwrap();
    assert_eq!(*gone, Error(weir::EGONE));
}

#[test]
fn what_is_dropped_is_released() {
    let hub = hub();
    let stream = hub.open("a/1").unwrap();
    let (_, subscriber, _) = attach(&hub, "a/1", &nobody());
    assert_eq!(stream.signal("x", "s", 0), Ok(1));
    drop(subscriber);
    assert_eq!(stream.signal("x", "s", 0), Ok(0));
}
