"""What a lead may do, who may make it do so, and what follows. Pure."""
