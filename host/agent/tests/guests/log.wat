;; Logs messages. A port of the first event from 0 to 4 is the level of one message; a higher port is the number of messages of level 3.
;; The message contains control characters. Port 5 makes it very long.
(data (i32.const 256) "hello\n\1b[31m")
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (local $port i32)
  (local.set $port (i32.load16_u offset=126 (local.get $events)))
  (if (i32.lt_u (local.get $port) (i32.const 5))
    (then
      (call $log (local.get $port) (i32.const 256) (i32.const 11))
      (return (call $answer (i32.const 0)))))
  (if (i32.eq (local.get $port) (i32.const 5))
    (then
      (memory.fill (i32.const 1048576) (i32.const 120) (i32.const 1048576))
      (call $log (i32.const 3) (i32.const 1048576) (i32.const 1048576))
      (return (call $answer (i32.const 0)))))
  (loop $each
    (call $log (i32.const 3) (i32.const 256) (i32.const 5))
    (local.set $port (i32.sub (local.get $port) (i32.const 1)))
    (br_if $each (local.get $port)))
  (call $answer (i32.const 0)))
