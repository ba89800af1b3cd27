"""What is measured besides losses: some on the device, some on the host with a known library."""
