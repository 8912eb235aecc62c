/// Mbed TLS's own words for why a handshake failed.
enum MbedTLSReasons {
    /// The name of an error, without `MBEDTLS_ERR_` and `SSL_`: of its module's part, or where that is 0 the network's. `nil` for
    /// one that no release has.
    static func name(_ reason: Int32) -> String? {
        let isModern = reason < MbedTLSState.modern
        let code = isModern ? reason - MbedTLSState.modern : reason
        // -0x7200 - 0x0012: a module's error, and below it the cause.
        let module = -(-code & 0xff80)
        if module == 0 { return network[code] }
        return (isModern ? modern[module] : old[module]) ?? common[module]
    }

    private static let network: [Int32: String] = [
        -0x0042: "net_socket_failed", -0x0044: "net_connect_failed", -0x0045: "net_invalid_context",
        -0x0047: "net_poll_failed", -0x0049: "net_bad_input_data", -0x004c: "net_recv_failed",
        -0x004e: "net_send_failed", -0x0050: "net_conn_reset",
    ]

    /// The same in 2.x and 3.x.
    private static let common: [Int32: String] = [
        -0x7000: "crypto_in_progress", -0x7080: "feature_unavailable", -0x7100: "bad_input_data",
        -0x7180: "invalid_mac", -0x7200: "invalid_record", -0x7280: "conn_eof", -0x7400: "no_rng",
        -0x7480: "no_client_certificate", -0x7600: "private_key_required", -0x7680: "ca_chain_required",
        -0x7700: "unexpected_message", -0x7780: "fatal_alert_message", -0x7880: "peer_close_notify",
        -0x7f00: "alloc_failed", -0x7f80: "hw_accel_failed", -0x6f80: "hw_accel_fallthrough",
        -0x6d80: "session_ticket_expired", -0x6d00: "pk_type_mismatch", -0x6c80: "unknown_identity",
        -0x6c00: "internal_error", -0x6b80: "counter_wrapping", -0x6b00: "waiting_server_hello_renego",
        -0x6a80: "hello_verify_required", -0x6a00: "buffer_too_small", -0x6900: "want_read", -0x6880: "want_write",
        -0x6800: "timeout", -0x6780: "client_reconnect", -0x6700: "unexpected_record", -0x6680: "non_fatal",
        -0x6580: "continue_processing", -0x6500: "async_in_progress", -0x6480: "early_message",
        -0x6000: "unexpected_cid", -0x5f00: "version_mismatch", -0x5e80: "bad_config",
        -0x6080: "cipher_feature_unavailable", -0x6100: "cipher_bad_input_data", -0x6180: "cipher_alloc_failed",
        -0x6200: "cipher_invalid_padding", -0x6280: "cipher_full_block_expected", -0x6300: "cipher_auth_failed",
        -0x6380: "cipher_invalid_context",
        -0x5080: "md_feature_unavailable", -0x5100: "md_bad_input_data", -0x5180: "md_alloc_failed",
        -0x4f80: "ecp_bad_input_data", -0x4f00: "ecp_buffer_too_small", -0x4e80: "ecp_feature_unavailable",
        -0x4e00: "ecp_verify_failed", -0x4d80: "ecp_alloc_failed", -0x4d00: "ecp_random_failed",
        -0x4c80: "ecp_invalid_key", -0x4c00: "ecp_sig_len_mismatch", -0x4b00: "ecp_in_progress",
        -0x4080: "rsa_bad_input_data", -0x4100: "rsa_invalid_padding", -0x4200: "rsa_key_check_failed",
        -0x4280: "rsa_public_failed", -0x4300: "rsa_private_failed", -0x4380: "rsa_verify_failed",
        -0x4400: "rsa_output_too_large", -0x4480: "rsa_rng_failed",
        -0x3f80: "pk_alloc_failed", -0x3f00: "pk_type_mismatch", -0x3e80: "pk_bad_input_data",
        -0x3d80: "pk_key_invalid_version", -0x3d00: "pk_key_invalid_format", -0x3c80: "pk_unknown_pk_alg",
        -0x3b00: "pk_invalid_pubkey", -0x3a80: "pk_invalid_alg", -0x3a00: "pk_unknown_named_curve",
        -0x3980: "pk_feature_unavailable", -0x3900: "pk_sig_len_mismatch",
        -0x3080: "dhm_bad_input_data", -0x3100: "dhm_read_params_failed", -0x3180: "dhm_make_params_failed",
        -0x3200: "dhm_read_public_failed", -0x3280: "dhm_make_public_failed", -0x3300: "dhm_calc_secret_failed",
        -0x3380: "dhm_invalid_format", -0x3400: "dhm_alloc_failed", -0x3580: "dhm_set_group_failed",
        -0x3000: "x509_fatal_error", -0x2080: "x509_feature_unavailable", -0x2100: "x509_unknown_oid",
        -0x2180: "x509_invalid_format", -0x2200: "x509_invalid_version", -0x2280: "x509_invalid_serial",
        -0x2300: "x509_invalid_alg", -0x2380: "x509_invalid_name", -0x2400: "x509_invalid_date",
        -0x2480: "x509_invalid_signature", -0x2500: "x509_invalid_extensions", -0x2580: "x509_unknown_version",
        -0x2600: "x509_unknown_sig_alg", -0x2680: "x509_sig_mismatch", -0x2700: "x509_cert_verify_failed",
        -0x2780: "x509_cert_unknown_format", -0x2800: "x509_bad_input_data", -0x2880: "x509_alloc_failed",
        -0x2900: "x509_file_io_error", -0x2980: "x509_buffer_too_small",
    ]

    private static let old: [Int32: String] = [
        -0x7300: "unknown_cipher", -0x7380: "no_cipher_chosen", -0x7500: "certificate_too_large",
        -0x7580: "certificate_required", -0x7800: "peer_verify_failed", -0x7900: "bad_hs_client_hello",
        -0x7980: "bad_hs_server_hello", -0x7a00: "bad_hs_certificate", -0x7a80: "bad_hs_certificate_request",
        -0x7b00: "bad_hs_server_key_exchange", -0x7b80: "bad_hs_server_hello_done",
        -0x7c00: "bad_hs_client_key_exchange", -0x7c80: "bad_hs_client_key_exchange_rp",
        -0x7d00: "bad_hs_client_key_exchange_cs", -0x7d80: "bad_hs_certificate_verify",
        -0x7e00: "bad_hs_change_cipher_spec", -0x7e80: "bad_hs_finished", -0x6f00: "compression_failed",
        -0x6e80: "bad_hs_protocol_version", -0x6e00: "bad_hs_new_session_ticket",
        -0x6980: "no_usable_ciphersuite", -0x6600: "invalid_verify_hash",
    ]

    private static let modern: [Int32: String] = [
        -0x7300: "decode_error", -0x7500: "unsupported_extension", -0x7580: "no_application_protocol",
        -0x7800: "unrecognized_name", -0x7a00: "bad_certificate", -0x7b00: "received_new_session_ticket",
        -0x7b80: "cannot_read_early_data", -0x7c00: "received_early_data", -0x7c80: "cannot_write_early_data",
        -0x7e80: "cache_entry_not_found", -0x6e80: "bad_protocol_version", -0x6e00: "handshake_failure",
        -0x6600: "illegal_parameter",
    ]
}
