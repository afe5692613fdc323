"""What is kept, for how long, and the proof that it is gone: retention, erasure, the audit log."""
