"""Plans of training runs, what came of them, and the paper's table and figures from them."""
