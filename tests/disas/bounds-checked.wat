;;! memory = checked
(module
  (memory 1)
  (func $load (param i32) (result i32)
    local.get 0
    i32.load offset=8)
  (func $twice (param i32) (result i32)
    local.get 0
    i32.load
    local.get 0
    i32.load
    i32.add)
  (func $store (param i32 i64)
    local.get 0
    local.get 1
    i64.store))

;;; baseline: function 0 `load`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;; i32.load offset=8
;;;         mov rax, [rdi+0x40]
;;;         add rax, r8
;;;         add rax, 8
;;;         mov r11, [rdi+0x48]
;;;         sub r11, 0xc
;;;         cmp r8, r11
;;;         mov r11d, 0
;;;         cmova rax, r11
;;;         mov eax, [rax] ; trap: out of bounds memory access
;;; end
;;;         leave
;;;         ret

;;; baseline: function 1 `twice`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;; i32.load
;;;         mov rax, [rdi+0x40]
;;;         add rax, r8
;;;         mov r11, [rdi+0x48]
;;;         sub r11, 4
;;;         cmp r8, r11
;;;         mov r11d, 0
;;;         cmova rax, r11
;;;         mov eax, [rax] ; trap: out of bounds memory access
;;; i32.load
;;;         mov rcx, [rdi+0x40]
;;;         add rcx, r8
;;;         mov r11, [rdi+0x48]
;;;         sub r11, 4
;;;         cmp r8, r11
;;;         mov r11d, 0
;;;         cmova rcx, r11
;;;         mov ecx, [rcx] ; trap: out of bounds memory access
;;; i32.add
;;;         add eax, ecx
;;; end
;;;         leave
;;;         ret

;;; baseline: function 2 `store`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r10, rdx
;;; i64.store
;;;         mov rax, [rdi+0x40]
;;;         add rax, r8
;;;         mov r11, [rdi+0x48]
;;;         sub r11, 8
;;;         cmp r8, r11
;;;         mov r11d, 0
;;;         cmova rax, r11
;;;         mov [rax], r10 ; trap: out of bounds memory access
;;; end
;;;         leave
;;;         ret

;;; optimizing: function 0 `load`
;;;         push rbp
;;;         mov rbp, rsp
;;; i32.load offset=8
;;;         mov r8, [rdi+0x48]
;;;         mov r11, [rdi+0x40]
;;;         mov eax, esi
;;;         sub r8, 0xc
;;;         xor rcx, rcx
;;;         lea r10, [r11+rax+8]
;;;         cmp rax, r8
;;;         cmova r10, rcx
;;;         mov eax, [r10] ; trap: out of bounds memory access
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 1 `twice`
;;;         push rbp
;;;         mov rbp, rsp
;;; i32.load
;;;         mov r9, [rdi+0x48]
;;;         mov rax, [rdi+0x40]
;;;         mov ecx, esi
;;;         sub r9, 4
;;;         xor rdx, rdx
;;;         lea r11, [rax+rcx]
;;;         cmp rcx, r9
;;;         cmova r11, rdx
;;;         mov eax, [r11] ; trap: out of bounds memory access
;;; i32.add
;;;         add eax, eax
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 2 `store`
;;;         push rbp
;;;         mov rbp, rsp
;;; i64.store
;;;         mov r8, [rdi+0x48]
;;;         mov r10d, esi
;;;         sub r8, 8
;;;         xor r11, r11
;;;         mov r9, r10
;;;         add r9, [rdi+0x40]
;;;         cmp r10, r8
;;;         cmova r9, r11
;;;         mov [r9], rdx ; trap: out of bounds memory access
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
