"""The signed policies of a tenant: which is active, and each as it was published."""
