import CEvents

/// What the ends and beginnings of processes mean for their sessions.
extension SessionTable {
    mutating func processStarted(_ event: tlswatch_process) {
        // exec keeps pid and start time, and drops every TLS object of the old program.
        endAll(of: event)
        processes.replace(pid: event.header.pid, start: event.header.process_start_ns, told: event.pathText)
    }

    mutating func processEnded(_ event: tlswatch_process) {
        endAll(of: event)
        processes.forget(pid: event.header.pid)
    }

    private mutating func endAll(of event: tlswatch_process) {
        guard processCounts.contains(event.header.pid) else { return }
        let keys = sessions.keys { key, _ in
            key.pid == event.header.pid && key.processStart == event.header.process_start_ns
        }
        for key in keys {
            abandon(key, at: event.header.time_ns)
        }
    }
}
