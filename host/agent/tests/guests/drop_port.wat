;; Drops events to port 53.
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (local $i i32) (local $actions i32) (local $at i32)
  (block $done
    (loop $each
      (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
      (if (i32.eq (i32.const 53)
            (i32.load16_u offset=126 (i32.add (local.get $events) (i32.mul (local.get $i) (i32.const 136)))))
        (then
          (local.set $at (i32.add (i32.const 1024) (i32.mul (local.get $actions) (i32.const 24))))
          (i32.store8 (local.get $at) (i32.const 0))
          (i32.store offset=4 (local.get $at) (local.get $i))
          (local.set $actions (i32.add (local.get $actions) (i32.const 1)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $each)))
  (call $answer (local.get $actions)))
