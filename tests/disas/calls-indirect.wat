(module
  (type $t (func (param i32) (result i32)))
  (table 10 funcref)
  (func (param $arg i32) (param $which i32) (result i32)
    local.get $arg
    local.get $which
    call_indirect (type $t)))

;;; baseline: function 0 `func[0]`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x20
;;;         cmp rsp, [r11]
;;;         jb L1
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;;         mov [rbp-0x18], edx
;;; call_indirect (type $t)
;;;         mov eax, [rbp-0x18]
;;;         mov rcx, rax
;;;         mov rax, [r15+0x40]
;;;         lea rax, [rax+rcx*8]
;;;         cmp rcx, [r15+0x48]
;;;         mov r11d, 0
;;;         cmovae rax, r11
;;;         mov rax, [rax] ; trap: undefined element
;;;         cmp rax, 1
;;;         jbe L2
;;;     L0: mov r11, [r15+0x20]
;;;         mov r11d, [r11]
;;;         cmp [rax+0x10], r11d
;;;         jne L4
;;;         mov r11, [r15+8]
;;;         mov [r11+0x10], r15
;;;         mov esi, [rbp-0x10]
;;;         mov rdi, [rax+8]
;;;         mov rax, [rax]
;;;         call qword ptr [rax] ; calls through a table
;;;         mov eax, eax
;;; end
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L1: ud2 ; trap: call stack exhausted
;;; call_indirect (type $t)
;;;     L2: test rax, rax
;;;         jne L3
;;;         sub rsp, 0x10
;;;         mov [rsp], rcx
;;;         mov rdx, rcx
;;;         mov rdi, r15
;;;         mov esi, 0
;;;         mov r11, [r15+0x10]
;;;         call qword ptr [r11+0x60] ; runtime: table_get_lazy
;;;         mov rcx, [rsp]
;;;         add rsp, 0x10
;;;         test rax, rax
;;;         je L3
;;;         jmp short L0
;;;     L3: ud2 ; trap: uninitialized element
;;;     L4: ud2 ; trap: indirect call type mismatch

;;; optimizing: function 0 `func[0]`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x20
;;;         cmp r10, rsp
;;;         ja L2
;;;         sub rsp, 0x10
;;;         mov [rsp], rbx
;;;         mov [rsp+8], r12
;;;         mov r12, rsi
;;; call_indirect (type $t)
;;;         mov rax, [rdi+0x48]
;;;         mov rsi, [rdi+0x40]
;;;         mov edx, edx
;;;         xor rcx, rcx
;;;         lea rsi, [rsi+rdx*8]
;;;         cmp rdx, rax
;;;         cmovae rsi, rcx
;;;         mov rax, [rsi] ; trap: undefined element
;;;         cmp rax, 1
;;;         jbe L1
;;; -
;;;         mov rbx, rdi
;;; call_indirect (type $t)
;;;     L0: mov ecx, [rax+0x10]
;;; -
;;;         mov rdx, [rbx+0x20]
;;; call_indirect (type $t)
;;;         cmp ecx, [rdx]
;;;         jne L3
;;;         mov rdi, [rax+8]
;;;         mov rax, [rax]
;;;         mov rax, [rax]
;;; -
;;;         mov rcx, [rbx+8]
;;; call_indirect (type $t)
;;;         mov [rcx+0x10], rbx
;;;         mov rsi, r12
;;;         call rax ; calls through a table
;;; end
;;;         mov rbx, [rsp]
;;;         mov r12, [rsp+8]
;;;         add rsp, 0x10
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; call_indirect (type $t)
;;;     L1: test rax, rax
;;;         jne L4
;;; -
;;;         mov rax, [rdi+0x10]
;;;         mov rbx, rdi
;;;         mov rax, [rax+0x60]
;;; call_indirect (type $t)
;;;         xor esi, esi
;;;         call rax ; runtime: table_get_lazy
;;;         test rax, rax
;;;         je L5
;;;         jmp L0
;;; -
;;;     L2: ud2 ; trap: call stack exhausted
;;; call_indirect (type $t)
;;;     L3: ud2 ; trap: indirect call type mismatch
;;;     L4: ud2 ; trap: uninitialized element
;;;     L5: ud2 ; trap: uninitialized element
