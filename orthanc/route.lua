-- Auto-route by Lua: the CT series of every study that has become stable go to crlm-node.
--
-- orthanc.json:  "LuaScripts": ["/etc/orthanc/route.lua"],
--                "DicomModalities": {"crlm-node": ["CRLM_NODE", "10.0.0.7", 11112]},
--                "CrlmNode": {"Modality": "crlm-node"}
--
-- Only CT is sent: our own SEG and SR come back into the same study, and a study that was sent whole would go round.
-- Sending is a job of Orthanc, asynchronous by /modalities/.../store: `SendToModality` of a series says success and
-- sends nothing (seen in 1.10.1). A job that fails is written to Orthanc's log and told again by nobody: where the node
-- may be away for longer than a moment, use route.py.

local function modality()
   local section = GetOrthancConfiguration()['CrlmNode'] or {}
   return section['Modality'] or 'crlm-node'
end

local function ctSeries(studyId)
   local found = {}
   for _, series in ipairs(ParseJson(RestApiGet('/studies/' .. studyId .. '/series'))) do
      if series['MainDicomTags']['Modality'] == 'CT' then
         table.insert(found, series['ID'])
      end
   end
   return found
end

function OnStableStudy(studyId, tags, metadata)
   local series = ctSeries(studyId)
   if #series == 0 then
      return
   end
   local body = { Resources = series, Asynchronous = true }
   local answer = RestApiPost('/modalities/' .. modality() .. '/store', DumpJson(body, true))
   if answer == nil or answer == '' then
      print('crlm-node: NOT SENT, study ' .. studyId .. ': is the modality ' .. modality() .. ' configured?')
   else
      print('crlm-node: study ' .. studyId .. ', ' .. #series .. ' CT series, job ' .. ParseJson(answer)['ID'])
   end
end

function OnJobFailure(jobId)
   local job = ParseJson(RestApiGet('/jobs/' .. jobId))
   if job['Type'] == 'DicomModalityStore' and job['Content']['RemoteAet'] ~= nil then
      print('crlm-node: job ' .. jobId .. ' to ' .. job['Content']['RemoteAet'] .. ' FAILED: ' .. job['ErrorDescription'])
   end
end
