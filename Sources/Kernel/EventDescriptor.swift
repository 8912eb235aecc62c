import CBPF

/// A close-on-exec eventfd, by which threads that poll are woken; negative with errno set where there is none.
package func eventDescriptor() -> Int32 { tlswatch_eventfd() }
