"""The maker-taker game without noise: equilibrium, best responses, infinitely many traders, the makers' coalition."""
