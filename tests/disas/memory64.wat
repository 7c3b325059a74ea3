(module
  (memory i64 1)
  (func $load (param i64) (result i32)
    local.get 0
    i32.load offset=8)
  (func $far (param i64) (result i32)
    local.get 0
    i32.load offset=0x100000000))

;;; baseline: function 0 `load`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8, rsi
;;;         mov r9, [rdi+0x40]
;;; i32.load offset=8
;;;         cmp r8, [rdi+0x50]
;;;         cmova r8, [rdi+0x50]
;;;         mov eax, [r9+r8+8] ; trap: out of bounds memory access
;;; end
;;;         leave
;;;         ret

;;; baseline: function 1 `far`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8, rsi
;;;         mov r9, [rdi+0x40]
;;; i32.load offset=4294967296
;;;         mov rax, [rdi+0x40]
;;;         add rax, r8
;;;         mov r11, 0x100000000
;;;         add rax, r11
;;;         mov rcx, 0x100000004
;;;         add rcx, r8
;;;         jb L0
;;;         cmp rcx, [rdi+0x48]
;;;         mov r11d, 0
;;;         cmova rax, r11
;;;         mov eax, [rax] ; trap: out of bounds memory access
;;; end
;;;         leave
;;;         ret
;;; i32.load offset=4294967296
;;;     L0: ud2 ; trap: out of bounds memory access

;;; optimizing: function 0 `load`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r9, [rdi+0x40]
;;;         mov r8, [rdi+0x50]
;;; i32.load offset=8
;;;         cmp rsi, r8
;;;         cmova rsi, r8
;;;         mov eax, [r9+rsi+8] ; trap: out of bounds memory access
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 1 `far`
;;;         push rbp
;;;         mov rbp, rsp
;;; i32.load offset=4294967296
;;;         mov r11, [rdi+0x48]
;;;         mov rax, rsi
;;;         add rax, [rip+C0]
;;;         jb L0
;;;         xor rcx, rcx
;;;         add rsi, [rdi+0x40]
;;;         mov rdx, 0x100000000
;;;         add rdx, rsi
;;;         cmp rax, r11
;;;         cmova rdx, rcx
;;;         mov eax, [rdx] ; trap: out of bounds memory access
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; i32.load offset=4294967296
;;;     L0: ud2 ; trap: out of bounds memory access
;;; -
;;;     C0: constant 0x0000000100000004
