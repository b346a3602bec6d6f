from bench import flows

flows.main()
