"""Models on their way out: into CodeXGLUE's code, onto the hub, into another runtime. Each makes a folder, complete or absent."""
