;; Adds 7 to the counters n00, n01 and so on. The port of the first event is the number of counters, at most 100.
(data (i32.const 256) "n00")
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (local $i i32)
  (block $done
    (loop $each
      (br_if $done (i32.ge_u (local.get $i) (i32.load16_u offset=126 (local.get $events))))
      (i32.store8 (i32.const 257) (i32.add (i32.const 48) (i32.div_u (local.get $i) (i32.const 10))))
      (i32.store8 (i32.const 258) (i32.add (i32.const 48) (i32.rem_u (local.get $i) (i32.const 10))))
      (call $add (i32.const 256) (i32.const 3) (i64.const 7))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $each)))
  ;; A name that exceeds the limit.
  (call $add (i32.const 256) (i32.const 65) (i64.const 7))
  (call $answer (i32.const 0)))
