(module
  (memory 1)
  (func $load (param i32) (result i32)
    local.get 0
    i32.load offset=8)
  (func $store (param i32 i64)
    local.get 0
    local.get 1
    i64.store8)
  (func $far (param i32) (result i32)
    local.get 0
    i32.load offset=0xffff0000)
  (func $constant (result f64)
    i32.const 16
    f64.load))

;;; baseline: function 0 `load`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;;         mov r9, [rdi+0x40]
;;; i32.load offset=8
;;;         mov eax, [r9+r8+8] ; trap: out of bounds memory access
;;; end
;;;         leave
;;;         ret

;;; baseline: function 1 `store`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r10, rdx
;;;         mov r9, [rdi+0x40]
;;; i64.store8
;;;         mov [r9+r8], r10b ; trap: out of bounds memory access
;;; end
;;;         leave
;;;         ret

;;; baseline: function 2 `far`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;;         mov r9, [rdi+0x40]
;;; i32.load offset=4294901760
;;;         mov rax, [rdi+0x40]
;;;         add rax, r8
;;;         mov r11d, 0xffff0000
;;;         add rax, r11
;;;         mov ecx, 0xffff0004
;;;         add rcx, r8
;;;         cmp rcx, [rdi+0x48]
;;;         mov r11d, 0
;;;         cmova rax, r11
;;;         mov eax, [rax] ; trap: out of bounds memory access
;;; end
;;;         leave
;;;         ret

;;; baseline: function 3 `constant`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r9, [rdi+0x40]
;;; f64.load
;;;         movsd xmm0, [r9+0x10] ; trap: out of bounds memory access
;;; end
;;;         leave
;;;         ret

;;; optimizing: function 0 `load`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r8, rsi
;;;         mov rsi, [rdi+0x40]
;;;         mov rdi, r8
;;; i32.load offset=8
;;;         mov edi, edi
;;;         mov eax, [rsi+rdi+8] ; trap: out of bounds memory access
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 1 `store`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r8, rsi
;;;         mov rsi, [rdi+0x40]
;;;         mov rdi, r8
;;; i64.store8
;;;         mov edi, edi
;;;         mov [rsi+rdi], dl ; trap: out of bounds memory access
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 2 `far`
;;;         push rbp
;;;         mov rbp, rsp
;;; i32.load offset=4294901760
;;;         mov rax, [rdi+0x48]
;;;         mov r8d, esi
;;;         mov ecx, 0xffff0004
;;;         lea rdx, [r8+rcx]
;;;         xor rcx, rcx
;;;         add r8, [rdi+0x40]
;;;         mov esi, 0xffff0000
;;;         add rsi, r8
;;;         cmp rdx, rax
;;;         cmova rsi, rcx
;;;         mov eax, [rsi] ; trap: out of bounds memory access
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 3 `constant`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rsi, [rdi+0x40]
;;; f64.load
;;;         movsd xmm0, [rsi+0x10] ; trap: out of bounds memory access
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
