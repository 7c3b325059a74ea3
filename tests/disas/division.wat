(module
  (func $signed (param i32 i32) (result i32)
    local.get 0
    local.get 1
    i32.div_s)
  (func $remainder (param i64 i64) (result i64)
    local.get 0
    local.get 1
    i64.rem_s)
  (func $unsigned (param i32 i32) (result i32)
    local.get 0
    local.get 1
    i32.div_u)
  (func $constant (param i32) (result i32)
    local.get 0
    i32.const 10
    i32.div_u))

;;; baseline: function 0 `signed`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r10d, edx
;;; i32.div_s
;;;         mov eax, r8d
;;;         test r10d, r10d
;;;         je L0
;;;         cdq
;;;         idiv r10d ; trap: integer overflow
;;; end
;;;         leave
;;;         ret
;;; i32.div_s
;;;     L0: ud2 ; trap: integer divide by zero

;;; baseline: function 1 `remainder`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8, rsi
;;;         mov r10, rdx
;;; i64.rem_s
;;;         mov rax, r8
;;;         xor edx, edx
;;;         cmp r10, 0xffffffffffffffff
;;;         je short L0
;;;         cqo
;;;         idiv r10 ; trap: integer divide by zero
;;; end
;;;     L0: mov rax, rdx
;;;         leave
;;;         ret

;;; baseline: function 2 `unsigned`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r10d, edx
;;; i32.div_u
;;;         mov eax, r8d
;;;         xor edx, edx
;;;         div r10d ; trap: integer divide by zero
;;; end
;;;         leave
;;;         ret

;;; baseline: function 3 `constant`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;; i32.div_u
;;;         mov eax, 0xa
;;;         mov r11d, eax
;;;         mov eax, r8d
;;;         xor edx, edx
;;;         div r11d ; trap: integer divide by zero
;;; end
;;;         leave
;;;         ret

;;; optimizing: function 0 `signed`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rax, rsi
;;;         mov r11, rdx
;;; i32.div_s
;;;         cdq
;;;         test r11d, r11d
;;;         je L0
;;;         idiv r11d ; trap: integer overflow
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; i32.div_s
;;;     L0: ud2 ; trap: integer divide by zero

;;; optimizing: function 1 `remainder`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rax, rsi
;;;         mov r9, rdx
;;; i64.rem_s
;;;         cqo
;;;         cmp r9, 0xffffffffffffffff
;;;         jne L0
;;;         mov edx, 0
;;;         jmp L1
;;;     L0: idiv r9 ; trap: integer divide by zero
;;;     L1: mov rax, rdx
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 2 `unsigned`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, rdx
;;; i32.div_u
;;;         xor rdx, rdx
;;;         mov rax, rsi
;;;         div r10d ; trap: integer divide by zero
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 3 `constant`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rdx, rsi
;;;         mulx eax, eax, [rip+C0]
;;;         shr eax, 3
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     C0: constant 0xcccccccd
