;; Common to all guests: the memory, an allocator that is reset after each call, and an `init` that requests all fields (unless the guest
;; defines its own).
;;
;; An event is 136 bytes: pid at 56, process at 72 (present) and 76 (index), tags at 100 (present), 104 (list), 108
;; (length), source port at 124, destination port at 126.
;; An action is 24 bytes: what (0 drop, 1 tag, 2 set, 3 line) at 0, event at 4, text at 8 (and 16): pointer, length.
;; `process` returns the address of a pointer and a length, which are at 16. The actions start at 1024.
(memory (export "memory") 64)
(global $next (mut i32) (i32.const 65536))
(func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
  (local $at i32)
  (local.set $at
    (i32.and
      (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
  (global.set $next (i32.add (local.get $at) (local.get $size)))
  (local.get $at))
(func (export "cabi_post_lightmon:plugin/filter@0.1.0#process") (param i32)
  (global.set $next (i32.const 65536)))
;; Returns `n` actions, which start at 1024.
(func $answer (param $n i32) (result i32)
  (i32.store (i32.const 16) (i32.const 1024))
  (i32.store (i32.const 20) (local.get $n))
  (i32.const 16))
;; Whether the destination port of any event is `port`.
(func $any-to (param $port i32) (param $events i32) (param $n i32) (result i32)
  (local $i i32)
  (block $none
    (loop $each
      (br_if $none (i32.ge_u (local.get $i) (local.get $n)))
      (if (i32.eq (local.get $port)
            (i32.load16_u offset=126 (i32.add (local.get $events) (i32.mul (local.get $i) (i32.const 136)))))
        (then (return (i32.const 1))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $each)))
  (i32.const 0))
