"""What every command needs of its process, terminal and machine; nothing here knows of studies."""
