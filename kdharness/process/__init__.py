"""What all cells of a process share beside data and networks: functions, switches, hooks, limits; read and put back."""
