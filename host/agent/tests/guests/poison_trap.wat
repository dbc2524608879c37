;; Drops the first event. Traps if an event of the batch has port 666.
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (if (call $any-to (i32.const 666) (local.get $events) (local.get $n)) (then (unreachable)))
  (i64.store (i32.const 1024) (i64.const 0))
  (call $answer (i32.const 1)))
