# The entry of a thread: its stack comes from the structure it is given.
	.globaltype	__stack_pointer, i32
	.functype	thread_body () -> ()
	.export_name	wasi_thread_start, wasi_thread_start
	.globl	wasi_thread_start
	.type	wasi_thread_start,@function
wasi_thread_start:
	.functype	wasi_thread_start (i32, i32) -> ()
	local.get 1
	i32.load 0
	global.set __stack_pointer
	call thread_body
	end_function
