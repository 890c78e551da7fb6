"""Ways in for people and programs: today the command line. They know the client and the services, never a driver."""
