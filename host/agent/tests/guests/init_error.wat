;; init returns an error whose text has an escape sequence and a second line.
(data (i32.const 512) "no key\n\1b[31mroot: all is well")
(func (export "lightmon:plugin/filter@0.1.0#init") (param i32 i32) (result i32)
  (i32.store8 (i32.const 32) (i32.const 1))
  (i32.store (i32.const 36) (i32.const 512))
  (i32.store (i32.const 40) (i32.const 29))
  (i32.const 32))
