"""Back-tests of policies over the recorded history, and shadow runs beside the active policy."""
