use wasmtime::{
    Engine, Store,
    component::{Component, Linker},
};

use super::*;

/// Exports `dump`, which returns the bytes of the events that it gets.
const DUMP: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at
        (i32.and
          (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get 2))))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "dump") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.sub (global.get $next) (i32.const 1024)))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (type $ip-type (record (field "hi" u64) (field "lo" u64)))
  (export $ip "ip" (type $ip-type))
  (type $event-type (record
    (field "time-ns" u64)
    (field "latency-ns" (option u64))
    (field "source" $ip)
    (field "destination" $ip)
    (field "pid" u32)
    (field "tid" u32)
    (field "uid" u32)
    (field "gid" u32)
    (field "process" (option u32))
    (field "container" (option u32))
    (field "dname" (option string))
    (field "tags" (option (list (tuple string string))))
    (field "extra" (option (list (tuple string string))))
    (field "source-port" u16)
    (field "destination-port" u16)
    (field "errno" u16)
    (field "kind" u8)
    (field "protocol" u8)
    (field "outcome" u8)))
  (export $event "event" (type $event-type))
  (func (export "dump") (param "events" (list $event)) (result (list u8))
    (canon lift (core func $i "dump")
      (memory (core memory $i "memory")) (realloc (func $i "realloc")))))"#;

/// The bytes of all that lowering the events writes, strings and lists included.
fn dump<T: Lower>(events: &[T]) -> Vec<u8> {
    let engine = Engine::default();
    let component = Component::new(&engine, wat::parse_str(DUMP).unwrap()).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &component)
        .unwrap();
    let dump = instance
        .get_typed_func::<(&[T],), (Vec<u8>,)>(&mut store, "dump")
        .unwrap();
    dump.call(&mut store, (events,)).unwrap().0
}

/// An event whose fields all have different bytes.
fn full(tags: &[(String, String)]) -> Event<'_> {
    Event {
        time: 0x0102_0304_0506_0708,
        latency: Some(0x1112_1314_1516_1718),
        source: Ip {
            hi: 0x2122_2324_2526_2728,
            lo: 0x3132_3334_3536_3738,
        },
        destination: Ip {
            hi: 0x4142_4344_4546_4748,
            lo: 0x5152_5354_5556_5758,
        },
        pid: 0x6162_6364,
        tid: 0x7172_7374,
        uid: 0x8182_8384,
        gid: 0x9192_9394,
        process: Some(0xa1a2_a3a4),
        container: Some(0xb1b2_b3b4),
        dname: Some("example.org"),
        tags: Some(tags),
        extra: Some(vec![("unit".to_owned(), "a.service")]),
        source_port: 0xc1c2,
        destination_port: 0xd1d2,
        errno: 0xe1e2,
        kind: 0xf1,
        protocol: 0xf2,
        outcome: 0xf3,
    }
}

fn without_options() -> Event<'static> {
    Event {
        latency: None,
        process: None,
        container: None,
        dname: None,
        tags: None,
        extra: None,
        ..full(&[])
    }
}

#[test]
fn the_layout_is_the_same_as_the_derived_one() {
    let tags = [("geo".to_owned(), "NL".to_owned())];
    let events = || [without_options(), full(&tags), without_options()];
    let derived = dump(&events());
    assert!(derived.len() > 3 * EVENT_BYTES);
    assert_eq!(dump(&events().map(PackedEvent)), derived);
}
