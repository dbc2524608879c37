;; Returns a million actions that drop the first event.
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (drop (memory.grow (i32.const 400)))
  (i32.store (i32.const 16) (i32.const 4194304))
  (i32.store (i32.const 20) (i32.const 1000000))
  (i32.const 16))
