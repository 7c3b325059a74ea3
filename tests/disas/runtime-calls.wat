(module
  (memory 1)
  (table 1 funcref)
  (func $grow (param i32) (result i32)
    local.get 0
    memory.grow)
  (func $fill (param i32 i32)
    local.get 0
    i32.const 0
    local.get 1
    memory.fill)
  (func $get (param i32) (result funcref)
    local.get 0
    table.get 0))

;;; baseline: function 0 `grow`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;;         mov r9, [rdi+0x50]
;;; memory.grow
;;;         mov [rbp-0x10], r8d
;;;         mov edx, r8d
;;;         mov esi, 0
;;;         mov [rbp-8], rdi
;;;         mov r11, [rdi+0x10]
;;;         call qword ptr [r11+8] ; runtime: memory_grow
;;;         mov rdi, [rbp-8]
;;;         mov r9, [rdi+0x50]
;;;         mov eax, eax
;;; end
;;;         leave
;;;         ret

;;; baseline: function 1 `fill`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r10d, edx
;;;         mov r9, [rdi+0x50]
;;; memory.fill
;;;         mov [rbp-0x10], r8d
;;;         mov [rbp-0x18], r10d
;;;         mov edx, r8d
;;;         mov r8d, r10d
;;;         mov esi, 0
;;;         mov ecx, 0
;;;         mov [rbp-8], rdi
;;;         mov r11, [rdi+0x10]
;;;         call qword ptr [r11+0x10] ; runtime: memory_fill
;;;         mov rdi, [rbp-8]
;;;         mov r9, [rdi+0x50]
;;; end
;;;         leave
;;;         ret

;;; baseline: function 2 `get`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;; table.get 0
;;;         mov rax, [rdi+0x40]
;;;         lea rax, [rax+r8*8]
;;;         cmp r8, [rdi+0x48]
;;;         mov r11d, 0
;;;         cmovae rax, r11
;;;         mov rax, [rax] ; trap: out of bounds table access
;;;         cmp rax, 1
;;;         jbe L1
;;; end
;;;     L0: leave
;;;         ret
;;; table.get 0
;;;     L1: test rax, rax
;;;         jne L2
;;;         sub rsp, 0x10
;;;         mov [rsp], rdi
;;;         mov [rsp+8], r8
;;;         mov rdx, r8
;;;         mov esi, 0
;;;         mov r11, [rdi+0x10]
;;;         call qword ptr [r11+0x60] ; runtime: table_get_lazy
;;;         mov rdi, [rsp]
;;;         mov r8, [rsp+8]
;;;         add rsp, 0x10
;;;         jmp short L0
;;;     L2: xor eax, eax
;;;         jmp short L0

;;; optimizing: function 0 `grow`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L0
;;;         mov rax, rsi
;;;         mov r8, [rdi+0x10]
;;;         mov r8, [r8+8]
;;; memory.grow
;;;         xor esi, esi
;;;         mov edx, eax
;;;         call r8 ; runtime: memory_grow
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 1 `fill`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L0
;;; memory.fill
;;;         mov rax, [rdi+0x58]
;;;         mov esi, esi
;;;         mov ecx, edx
;;;         lea rdx, [rsi+rcx]
;;;         cmp rdx, rax
;;;         ja L1
;;; -
;;;         mov r8, [rdi+0x10]
;;;         mov r8, [r8+0x70]
;;; memory.fill
;;;         xor r9, r9
;;;         add rsi, [rdi+0x50]
;;;         cmp rdx, rax
;;;         cmova rsi, r9
;;; i32.const 0
;;;         xor edx, edx
;;; memory.fill
;;;         call r8 ; runtime: fill_bytes
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted
;;; memory.fill
;;;     L1: ud2 ; trap: out of bounds memory access

;;; optimizing: function 2 `get`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L2
;;; table.get 0
;;;         mov rax, [rdi+0x48]
;;;         mov r8, [rdi+0x40]
;;;         mov edx, esi
;;;         xor rcx, rcx
;;;         lea rsi, [r8+rdx*8]
;;;         cmp rdx, rax
;;;         cmovae rsi, rcx
;;;         mov rcx, [rsi] ; trap: out of bounds table access
;;;         cmp rcx, 1
;;;         jbe L1
;;; -
;;;         mov rax, rcx
;;; end
;;;     L0: mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L1: xor rax, rax
;;; table.get 0
;;;         test rcx, rcx
;;;         jne L0
;;; -
;;;         mov rax, [rdi+0x10]
;;;         mov rax, [rax+0x60]
;;; table.get 0
;;;         xor esi, esi
;;;         call rax ; runtime: table_get_lazy
;;;         jmp L0
;;; -
;;;     L2: ud2 ; trap: call stack exhausted
