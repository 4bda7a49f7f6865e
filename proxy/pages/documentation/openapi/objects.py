"""Schemas of OpenAI's things with an id: files, batches, vector stores, assistants, threads, videos, fine-tuning.

Source: https://platform.openai.com/docs/api-reference. Of what a provider keeps, only what all have is required.
"""

from collections.abc import Mapping
from typing import Final

from proxy.pages.documentation.openapi.notation import (
    BINARY,
    COUNT,
    FLAG,
    LABELS,
    NUMBER,
    OBJECT,
    SECONDS,
    TEXT,
    VALUE,
    Schema,
    Shape,
    either,
    event,
    many,
    maybe,
    noted,
    ref,
    sized,
    struct,
    within,
    words,
)

_METADATA: Final = {"metadata": {"topic": "demo"}}


def _list_of(name: str) -> Schema:
    """A page of a list."""
    ends = {"first_id?": maybe(TEXT), "last_id?": maybe(TEXT), "has_more?": FLAG}
    return struct({"object": TEXT, "data": many(ref(name)), **ends})


def schemas() -> dict[str, Schema]:
    """The schemas, by their names in the document."""
    kind: Mapping[str, Schema] = {"id": TEXT, "object": TEXT, "created_at?": SECONDS}
    meta: Mapping[str, Schema] = {"metadata?": maybe(LABELS)}
    status: Mapping[str, Schema] = {"status?": TEXT}
    size = within(COUNT, 0, 8_589_934_592)
    message = struct(
        {"role": words("user", "assistant"), "content": either(sized(), many(ref("ContentPart"), 1)), **meta}
    )
    assistant: Mapping[str, Schema] = {
        "name?": maybe(TEXT),
        "description?": maybe(TEXT),
        "instructions?": maybe(TEXT),
        "tools?": many(struct({"type": TEXT})),
        **meta,
    }
    run: Mapping[str, Schema] = {
        "assistant_id": TEXT,
        "model?": maybe(ref("Alias")),
        "instructions?": maybe(TEXT),
        "stream?": maybe(FLAG),
        **meta,
    }
    return {
        "Deleted": struct({"id": TEXT, "object": TEXT, "deleted": FLAG}),
        "MetadataUpdate": struct({"metadata": LABELS}),
        # files
        "FileForm": struct(
            {
                "file": noted(BINARY, "Of a batch: one request a line."),
                "purpose": words("assistants", "batch", "fine-tune", "vision", "user_data", "evals"),
            }
        ),
        "File": struct(
            {**kind, "bytes": COUNT, "filename": TEXT, "purpose": TEXT, "status?": TEXT, "expires_at?": maybe(SECONDS)}
        ),
        "FileList": _list_of("File"),
        "UploadRequest": struct(
            {
                "filename": sized(),
                "purpose": words("assistants", "fine-tune", "vision", "user_data"),
                "bytes": size,
                "mime_type": TEXT,
            }
        ),
        "Upload": struct(
            {
                **kind,
                "bytes": COUNT,
                "filename": TEXT,
                "purpose": TEXT,
                "status": TEXT,
                "file?": maybe(ref("File")),
            }
        ),
        "PartForm": struct({"data": BINARY}),
        "UploadPart": struct({**kind, "upload_id": TEXT}),
        "UploadCompletion": struct({"part_ids": many(TEXT, 1, 100), "md5?": TEXT}),
        # batches
        "BatchRequest": struct(
            {
                "input_file_id": noted(TEXT, "A file with purpose batch."),
                "endpoint": words(
                    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations"
                ),
                "completion_window": words("24h"),
                **meta,
            }
        ),
        "Batch": struct(
            {
                **kind,
                **status,
                **meta,
                "endpoint": TEXT,
                "input_file_id": TEXT,
                "output_file_id?": maybe(TEXT),
                "error_file_id?": maybe(TEXT),
            }
        ),
        "BatchList": _list_of("Batch"),
        # vector stores
        "StoreRequest": struct(
            {
                "name?": maybe(TEXT),
                "file_ids?": many(TEXT, most=10),
                "expires_after?": maybe(struct({"anchor": words("last_active_at"), "days": within(COUNT, 1, 365)})),
                **meta,
            }
        ),
        "VectorStore": struct({**kind, **status, **meta, "name?": maybe(TEXT), "file_counts?": OBJECT}),
        "VectorStoreList": _list_of("VectorStore"),
        "StoreQuery": struct(
            {"query": either(TEXT, many(TEXT, 1)), "max_num_results?": within(COUNT, 1, 50), "filters?": OBJECT}
        ),
        "StoreResults": struct({"object": TEXT, "data": many(OBJECT), "has_more?": FLAG, "next_page?": maybe(TEXT)}),
        "StoreFileRequest": struct({"file_id": noted(TEXT, "One of the key's own."), "attributes?": maybe(OBJECT)}),
        "AttributesUpdate": struct({"attributes": OBJECT}),
        "StoreFile": struct({**kind, **status, "usage_bytes?": COUNT, "attributes?": maybe(OBJECT)}),
        "StoreFileList": _list_of("StoreFile"),
        "StoreFileContent": struct({"object": TEXT, "data": many(OBJECT), "has_more?": FLAG}),
        "FileBatchRequest": struct({"file_ids": many(TEXT, 1, 10), "attributes?": maybe(OBJECT)}),
        "FileBatch": struct({**kind, **status, "file_counts?": OBJECT}),
        # assistants and threads
        "AssistantRequest": struct({"model": ref("Alias"), **assistant}),
        "AssistantUpdate": struct({"model?": ref("Alias"), **assistant}),
        "Assistant": struct({**kind, "model": TEXT, **assistant}),
        "AssistantList": _list_of("Assistant"),
        "ThreadRequest": struct({"messages?": many(message, most=10), **meta}),
        "Thread": struct({**kind, **meta}),
        "MessageRequest": message,
        "ThreadMessage": struct(
            {**kind, **meta, "thread_id?": TEXT, "role": TEXT, "content": many(OBJECT), "run_id?": maybe(TEXT)}
        ),
        "ThreadMessageList": _list_of("ThreadMessage"),
        "RunRequest": struct(run),
        "ThreadRunRequest": struct({**run, "thread?": ref("ThreadRequest")}),
        "Run": struct(
            {
                **kind,
                **meta,
                "thread_id": TEXT,
                "assistant_id": TEXT,
                "model": TEXT,
                "status?": TEXT,
                "required_action?": maybe(OBJECT),
                "usage?": maybe(OBJECT),
            }
        ),
        "SentRunEvent": event("Run", "RunStep", "ThreadMessage", "ThreadDelta", "Error", end="[DONE]"),
        "RunList": _list_of("Run"),
        "ThreadDelta": struct(
            {"id": TEXT, "object": TEXT, "delta": OBJECT}, "A part of a message or of a step, as it is written."
        ),
        "ToolOutputs": struct(
            {"tool_outputs": many(struct({"tool_call_id?": TEXT, "output?": TEXT})), "stream?": maybe(FLAG)}
        ),
        "RunStep": struct({**kind, "type": TEXT, "step_details?": OBJECT, "status?": TEXT, "usage?": maybe(OBJECT)}),
        "RunStepList": _list_of("RunStep"),
        # videos
        "VideoRequest": struct({"model": ref("Alias"), "prompt": sized(), "seconds?": TEXT, "size?": TEXT}),
        "RemixRequest": struct({"prompt": sized()}),
        "Video": struct(
            {**kind, **status, "model?": TEXT, "prompt?": maybe(TEXT), "seconds?": TEXT, "progress?": NUMBER}
        ),
        "VideoList": _list_of("Video"),
        # fine-tuning
        "JobRequest": struct(
            {
                "model": ref("Alias"),
                "training_file": noted(TEXT, "One of the key's own."),
                "validation_file?": maybe(TEXT),
                "suffix?": maybe(sized(1, 64)),
                "hyperparameters?": OBJECT,
                **meta,
            }
        ),
        "Job": struct(
            {
                **kind,
                **status,
                "model": TEXT,
                "training_file": TEXT,
                "result_files?": many(TEXT),
                "fine_tuned_model?": maybe(TEXT),
                "error?": maybe(OBJECT),
            }
        ),
        "JobList": _list_of("Job"),
        "JobEvents": struct({"object": TEXT, "data": many(OBJECT), "has_more?": FLAG, "first_id?": VALUE}),
    }


_STORE: Final = "/v1/vector_stores/{vector_store_id}"
_THREAD: Final = "/v1/threads/{thread_id}"
_JOB: Final = "/v1/fine_tuning/jobs/{job_id}"
_ASKED: Final = {"role": "user", "content": "Say hello. demo:tokens=3"}

#: In an example `{file_id}` is the id of a file of the key's, and so on for the other kinds.
SHAPES: Final[Mapping[str, Shape]] = {
    "POST /v1/files": Shape("createFile", "FileForm", "File", {"file": "notes.txt", "purpose": "assistants"}),
    "GET /v1/files": Shape("listFiles", "", "FileList"),
    "GET /v1/files/{file_id}": Shape("getFile", "", "File"),
    "DELETE /v1/files/{file_id}": Shape("deleteFile", "", "Deleted"),
    "GET /v1/files/{file_id}/content": Shape("getFileContent"),
    "POST /v1/uploads": Shape(
        "createUpload",
        "UploadRequest",
        "Upload",
        {"filename": "notes.txt", "purpose": "assistants", "bytes": 5, "mime_type": "text/plain"},
    ),
    "POST /v1/uploads/{upload_id}/parts": Shape("createUploadPart", "PartForm", "UploadPart", {"data": "part"}),
    "POST /v1/uploads/{upload_id}/complete": Shape(
        "completeUpload", "UploadCompletion", "Upload", {"part_ids": ["{part_id}"]}
    ),
    "POST /v1/uploads/{upload_id}/cancel": Shape("cancelUpload", "", "Upload"),
    "POST /v1/batches": Shape(
        "createBatch",
        "BatchRequest",
        "Batch",
        {"input_file_id": "{batch_file_id}", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
    ),
    "GET /v1/batches": Shape("listBatches", "", "BatchList"),
    "GET /v1/batches/{batch_id}": Shape("getBatch", "", "Batch"),
    "POST /v1/batches/{batch_id}/cancel": Shape("cancelBatch", "", "Batch"),
    "POST /v1/vector_stores": Shape("createVectorStore", "StoreRequest", "VectorStore", {"name": "notes"}),
    "GET /v1/vector_stores": Shape("listVectorStores", "", "VectorStoreList"),
    f"GET {_STORE}": Shape("getVectorStore", "", "VectorStore"),
    f"POST {_STORE}": Shape("updateVectorStore", "StoreRequest", "VectorStore", {"name": "notes"}),
    f"DELETE {_STORE}": Shape("deleteVectorStore", "", "Deleted"),
    f"POST {_STORE}/search": Shape("searchVectorStore", "StoreQuery", "StoreResults", {"query": "retries"}),
    f"POST {_STORE}/files": Shape("createVectorStoreFile", "StoreFileRequest", "StoreFile", {"file_id": "{file_id}"}),
    f"GET {_STORE}/files": Shape("listVectorStoreFiles", "", "StoreFileList"),
    f"GET {_STORE}/files/{{file_id}}": Shape("getVectorStoreFile", "", "StoreFile"),
    f"POST {_STORE}/files/{{file_id}}": Shape(
        "updateVectorStoreFile", "AttributesUpdate", "StoreFile", {"attributes": {"year": 2026}}
    ),
    f"DELETE {_STORE}/files/{{file_id}}": Shape("deleteVectorStoreFile", "", "Deleted"),
    f"GET {_STORE}/files/{{file_id}}/content": Shape("getVectorStoreFileContent", "", "StoreFileContent"),
    f"POST {_STORE}/file_batches": Shape(
        "createFileBatch", "FileBatchRequest", "FileBatch", {"file_ids": ["{file_id}"]}
    ),
    f"GET {_STORE}/file_batches/{{file_batch_id}}": Shape("getFileBatch", "", "FileBatch"),
    f"POST {_STORE}/file_batches/{{file_batch_id}}/cancel": Shape("cancelFileBatch", "", "FileBatch"),
    f"GET {_STORE}/file_batches/{{file_batch_id}}/files": Shape("listFileBatchFiles", "", "StoreFileList"),
    "POST /v1/assistants": Shape("createAssistant", "AssistantRequest", "Assistant", {"name": "helper"}),
    "GET /v1/assistants": Shape("listAssistants", "", "AssistantList"),
    "GET /v1/assistants/{assistant_id}": Shape("getAssistant", "", "Assistant"),
    "POST /v1/assistants/{assistant_id}": Shape(
        "updateAssistant", "AssistantUpdate", "Assistant", {"description": "It helps."}
    ),
    "DELETE /v1/assistants/{assistant_id}": Shape("deleteAssistant", "", "Deleted"),
    "POST /v1/threads": Shape("createThread", "ThreadRequest", "Thread", {"messages": [_ASKED]}),
    "POST /v1/threads/runs": Shape(
        "createThreadAndRun",
        "ThreadRunRequest",
        "Run",
        {"assistant_id": "{assistant_id}", "thread": {"messages": [_ASKED]}},
        "SentRunEvent",
    ),
    f"GET {_THREAD}": Shape("getThread", "", "Thread"),
    f"POST {_THREAD}": Shape("updateThread", "MetadataUpdate", "Thread", _METADATA),
    f"DELETE {_THREAD}": Shape("deleteThread", "", "Deleted"),
    f"POST {_THREAD}/messages": Shape("createThreadMessage", "MessageRequest", "ThreadMessage", _ASKED),
    f"GET {_THREAD}/messages": Shape("listThreadMessages", "", "ThreadMessageList"),
    f"GET {_THREAD}/messages/{{message_id}}": Shape("getThreadMessage", "", "ThreadMessage"),
    f"POST {_THREAD}/messages/{{message_id}}": Shape(
        "updateThreadMessage", "MetadataUpdate", "ThreadMessage", _METADATA
    ),
    f"DELETE {_THREAD}/messages/{{message_id}}": Shape("deleteThreadMessage", "", "Deleted"),
    f"POST {_THREAD}/runs": Shape("createRun", "RunRequest", "Run", {"assistant_id": "{assistant_id}"}, "SentRunEvent"),
    f"GET {_THREAD}/runs": Shape("listRuns", "", "RunList"),
    f"GET {_THREAD}/runs/{{run_id}}": Shape("getRun", "", "Run"),
    f"POST {_THREAD}/runs/{{run_id}}": Shape("updateRun", "MetadataUpdate", "Run", _METADATA),
    f"POST {_THREAD}/runs/{{run_id}}/cancel": Shape("cancelRun", "", "Run"),
    f"POST {_THREAD}/runs/{{run_id}}/submit_tool_outputs": Shape(
        "submitToolOutputs", "ToolOutputs", "Run", {"tool_outputs": []}, "SentRunEvent"
    ),
    f"GET {_THREAD}/runs/{{run_id}}/steps": Shape("listRunSteps", "", "RunStepList"),
    f"GET {_THREAD}/runs/{{run_id}}/steps/{{step_id}}": Shape("getRunStep", "", "RunStep"),
    "POST /v1/videos": Shape("createVideo", "VideoRequest", "Video", {"prompt": "A red square."}),
    "GET /v1/videos": Shape("listVideos", "", "VideoList"),
    "GET /v1/videos/{video_id}": Shape("getVideo", "", "Video"),
    "DELETE /v1/videos/{video_id}": Shape("deleteVideo", "", "Deleted"),
    "GET /v1/videos/{video_id}/content": Shape("getVideoContent"),
    "POST /v1/videos/{video_id}/remix": Shape("remixVideo", "RemixRequest", "Video", {"prompt": "The same in blue."}),
    "POST /v1/fine_tuning/jobs": Shape("createFineTuningJob", "JobRequest", "Job", {"training_file": "{file_id}"}),
    "GET /v1/fine_tuning/jobs": Shape("listFineTuningJobs", "", "JobList"),
    f"GET {_JOB}": Shape("getFineTuningJob", "", "Job"),
    f"POST {_JOB}/cancel": Shape("cancelFineTuningJob", "", "Job"),
    f"POST {_JOB}/pause": Shape("pauseFineTuningJob", "", "Job"),
    f"POST {_JOB}/resume": Shape("resumeFineTuningJob", "", "Job"),
    f"GET {_JOB}/events": Shape("listFineTuningEvents", "", "JobEvents"),
    f"GET {_JOB}/checkpoints": Shape("listFineTuningCheckpoints", "", "JobEvents"),
}
