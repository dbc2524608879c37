#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lightmon_capture::fuzz::replay(bytes);
});
