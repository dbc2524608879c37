;; init returns a setup that requests no fields; `when` is "dport=53".
(data (i32.const 512) "dport=53")
(func (export "lightmon:plugin/filter@0.1.0#init") (param i32 i32) (result i32)
  (i32.store8 (i32.const 32) (i32.const 0))
  (i32.store8 (i32.const 36) (i32.const 0))
  (i32.store8 (i32.const 40) (i32.const 1))
  (i32.store (i32.const 44) (i32.const 512))
  (i32.store (i32.const 48) (i32.const 8))
  (i32.const 32))
