;; Tags each event "seen" = "yes".
(data (i32.const 256) "seenyes")
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (local $i i32) (local $at i32)
  (block $done
    (loop $each
      (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
      (local.set $at (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 24))))
      (i32.store8 (local.get $at) (i32.const 1))
      (i32.store offset=4 (local.get $at) (local.get $i))
      (i32.store offset=8 (local.get $at) (i32.const 256))
      (i32.store offset=12 (local.get $at) (i32.const 4))
      (i32.store offset=16 (local.get $at) (i32.const 260))
      (i32.store offset=20 (local.get $at) (i32.const 3))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $each)))
  (call $answer (local.get $n)))
