#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lightmon::fuzz::btf(bytes);
});
