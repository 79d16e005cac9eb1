"""How much the orchestration carries: experiments with a real Temporal server and the real workflows."""
