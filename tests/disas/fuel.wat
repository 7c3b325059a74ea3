;;! fuel = on
(module
  (func $count (param $n i32)
    loop $again
      local.get $n
      i32.const 1
      i32.sub
      local.tee $n
      br_if $again
    end))

;;; baseline: function 0 `count`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;; local.get $n
;;;     L0: mov r11, [rdi+8]
;;;         sub qword ptr [r11+8], 5
;;;         js L1
;;; i32.sub
;;;         sub r8d, 1
;;; br_if $again
;;;         test r8d, r8d
;;;         jne short L0
;;; end
;;;         leave
;;;         ret
;;; local.get $n
;;;     L1: ud2 ; trap: all fuel consumed

;;; optimizing: function 0 `count`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rdi, [rdi+8]
;;; local.get $n
;;;     L0: mov r8, [rdi+8]
;;; -
;;;         sub r8, 5
;;; local.get $n
;;;         mov [rdi+8], r8
;;;         test r8, r8
;;;         jl L1
;;; -
;;;         sub esi, 1
;;; br_if $again
;;;         test esi, esi
;;;         jne L0
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; local.get $n
;;;     L1: ud2 ; trap: all fuel consumed
